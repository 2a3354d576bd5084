// Continues a text: complete [--model NAME] [--tokens N] [--temperature T] [--seed S] [--ctx N] TEXT
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "driftwood/generate.hpp"
#include "driftwood/host.hpp"

namespace {

using namespace driftwood::guest;

struct Arguments {
  std::string model = "smollm2";
  std::string text;
  std::uint32_t max_tokens = 64;
  ContextOptions context;
  SamplerOptions sampler;
};

std::uint32_t number(const char* text) { return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)); }

Result<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) {
      arguments.text = name;
      continue;
    }
    if (++i == argc) return fail(DW_E_INVALID_ARGUMENT, "The option " + std::string(name) + " needs a value.");
    if (name == "--model") {
      arguments.model = argv[i];
    } else if (name == "--tokens") {
      arguments.max_tokens = number(argv[i]);
    } else if (name == "--temperature") {
      arguments.sampler.temperature = std::strtof(argv[i], nullptr);
    } else if (name == "--seed") {
      arguments.sampler.seed = number(argv[i]);
    } else if (name == "--ctx") {
      arguments.context.n_ctx = number(argv[i]);
    } else {
      return fail(DW_E_INVALID_ARGUMENT, "There is no option " + std::string(name) +
                                             "; there are --model, --tokens, --temperature, --seed and --ctx.");
    }
  }
  if (arguments.text.empty()) return fail(DW_E_INVALID_ARGUMENT, "Give the text to continue.");
  return arguments;
}

bool print(std::string_view piece) {
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
  return true;
}

Result<void> run(int argc, char** argv) {
  DW_TRY_ASSIGN(const Arguments arguments, parse(argc, argv));
  DW_TRY_ASSIGN(const Model model, Model::open(arguments.model));
  DW_TRY_ASSIGN(Context context, Context::create(model, arguments.context));
  DW_TRY_ASSIGN(Sampler sampler, Sampler::create(arguments.sampler, model.n_vocab()));
  DW_TRY_ASSIGN(const Block logits, allocate_logits(model));
  DW_TRY_ASSIGN(const auto prompt, model.tokenize(arguments.text, DW_TOKENIZE_SPECIAL));
  TextStream stream;

  print(arguments.text);
  const GenerationParts parts = {model, context, sampler, stream, logits.as<float>()};
  DW_TRY_ASSIGN(const Generation generation, generate(parts, prompt, arguments.max_tokens, print));
  const std::string_view finish = to_string(generation.finish);
  std::fprintf(stderr, "\n[%zu prompt tokens, %u generated, %.*s]\n", prompt.size(), generation.n_tokens,
               static_cast<int>(finish.size()), finish.data());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = run(argc, argv);
  return done ? 0 : report(done.error());
}
