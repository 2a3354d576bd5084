// Reads a text once, then tries several ways to go on, each in a copy of the Context:
// branches MODEL TEXT WAY WAY...
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "driftwood/generate.hpp"
#include "driftwood/host.hpp"

namespace {

using namespace driftwood::guest;

constexpr std::uint32_t kTokens = 24;

/// Goes on from `trunk` with `way`, leaving the trunk as it is.
Result<std::string> grow(const Model& model, const Context& trunk, std::string_view way, std::span<float> logits) {
  DW_TRY_ASSIGN(Context branch, trunk.copy());
  SamplerOptions greedy;
  greedy.temperature = 0;
  DW_TRY_ASSIGN(Sampler sampler, Sampler::create(greedy, model.n_vocab()));
  DW_TRY_ASSIGN(const auto tokens, model.tokenize(way, 0));
  TextStream stream;
  const GenerationParts parts = {model, branch, sampler, stream, logits};
  DW_TRY_ASSIGN(Generation generation, generate(parts, tokens, kTokens, [](std::string_view) { return true; }));
  return std::move(generation.text);
}

Result<void> run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 3) return fail(DW_E_INVALID_ARGUMENT, "Give a model's name, a text, and ways to go on.");
  DW_TRY_ASSIGN(const Model model, Model::open(arguments[0]));
  DW_TRY_ASSIGN(Context trunk, Context::create(model, {.n_ctx = 512}));
  DW_TRY_ASSIGN(const Block logits, allocate_logits(model));
  DW_TRY_ASSIGN(const auto prompt, model.tokenize(arguments[1], DW_TOKENIZE_SPECIAL));
  DW_TRY(trunk.prefill(prompt));

  for (std::size_t i = 2; i < arguments.size(); ++i) {
    DW_TRY_ASSIGN(const std::string text, grow(model, trunk, arguments[i], logits.as<float>()));
    std::printf("%s%s%s\n", arguments[1].c_str(), arguments[i].c_str(), text.c_str());
  }
  std::printf("[%u tokens were computed once for %zu branches]\n", trunk.n_tokens(), arguments.size() - 2);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = run(std::vector<std::string>(argv + 1, argv + argc));
  return done ? 0 : report(done.error());
}
