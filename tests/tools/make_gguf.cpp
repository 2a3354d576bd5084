// Writes a random model of any family as a GGUF file: for tests, benchmarks and GPU runs.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "tools/random_model.hpp"

namespace {

using driftwood::testing::RandomModelOptions;

const std::map<std::string, ggml_type> kTypes = {
    {"f32", GGML_TYPE_F32},   {"f16", GGML_TYPE_F16},   {"bf16", GGML_TYPE_BF16}, {"q4_0", GGML_TYPE_Q4_0},
    {"q4_1", GGML_TYPE_Q4_1}, {"q5_0", GGML_TYPE_Q5_0}, {"q5_1", GGML_TYPE_Q5_1}, {"q8_0", GGML_TYPE_Q8_0},
    {"q2_k", GGML_TYPE_Q2_K}, {"q3_k", GGML_TYPE_Q3_K}, {"q4_k", GGML_TYPE_Q4_K}, {"q5_k", GGML_TYPE_Q5_K},
    {"q6_k", GGML_TYPE_Q6_K},
};

/// The options given before `--shape` or `--representative` would be lost, so those are looked for first.
driftwood::Result<RandomModelOptions> starting_point(int argc, char** argv) {
  std::string architecture;
  bool representative = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--shape" && i + 1 < argc) return driftwood::testing::shape_options(argv[i + 1]);
    if (argument == "--arch" && i + 1 < argc) architecture = argv[i + 1];
    representative |= argument == "--representative";
  }
  if (representative) return driftwood::testing::representative_options(architecture);
  return RandomModelOptions{};
}

int report(const driftwood::Error& error) {
  std::cerr << "make_gguf: " << error.to_string() << '\n';
  return driftwood::exit_status(error.code);
}

}  // namespace

int main(int argc, char** argv) {
  auto started = starting_point(argc, argv);
  if (!started) return report(started.error());
  RandomModelOptions options = *std::move(started);
  std::string path;
  std::string shape;
  bool representative = false;
  bool untied = false;

  CLI::App app("Writes a random model as a GGUF file.");
  app.add_option("output", path, "The file to write")->required();
  app.add_option("--shape", shape, "Sizes of a known model: llama-3.2-1b or smollm2; other options change them");
  app.add_flag("--representative", representative, "Begin with what exercises all of the family's features");
  app.add_option("--arch", options.architecture, "Architecture, as in general.architecture")->capture_default_str();
  app.add_option("--layers", options.n_layer)->capture_default_str();
  app.add_option("--embd", options.n_embd, "Width")->capture_default_str();
  app.add_option("--heads", options.n_head)->capture_default_str();
  app.add_option("--kv-heads", options.n_head_kv)->capture_default_str();
  app.add_option("--head-dim", options.head_dim, "0: width / heads")->capture_default_str();
  app.add_option("--ff", options.n_ff, "Width of the feed-forward")->capture_default_str();
  app.add_option("--vocab", options.n_vocab)->capture_default_str();
  app.add_option("--ctx", options.n_ctx, "Trained context")->capture_default_str();
  app.add_option_function<std::string>(
         "--type", [&](const std::string& name) { options.type = kTypes.at(name); }, "Type of the matrices")
      ->check(CLI::IsMember(kTypes));
  app.add_option_function<std::string>(
         "--embedding-type", [&](const std::string& name) { options.embedding_type = kTypes.at(name); },
         "Type of the embeddings and the head, if another")
      ->check(CLI::IsMember(kTypes));
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--window", options.sliding_window, "Sliding window in tokens")->capture_default_str();
  app.add_flag("--untied", untied, "Give the head a weight of its own");
  app.add_flag("--fused-qkv", options.fused_qkv);
  app.add_flag("--qkv-bias", options.qkv_bias);
  CLI11_PARSE(app, argc, argv);
  options.tied_output = options.tied_output && !untied;

  const auto written = driftwood::testing::write_random_model(options, path);
  return written ? 0 : report(written.error());
}
