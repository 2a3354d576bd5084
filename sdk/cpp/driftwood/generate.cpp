#include "driftwood/generate.hpp"

namespace driftwood::guest {
namespace {

/// forward, with a cancellation as a value: true if it was computed.
Result<bool> compute(const GenerationParts& parts, std::span<const Token> tokens) {
  auto done = parts.context.forward(tokens, parts.logits);
  if (done) return true;
  if (done.error().code == DW_E_CANCELLED) return false;
  return std::unexpected(std::move(done).error());
}

bool show(std::string_view piece, Generation& generation, const TextSink& sink) {
  if (piece.empty()) return true;
  generation.text += piece;
  return sink(piece);
}

Result<Finish> run(const GenerationParts& parts, std::span<const Token> prompt, std::uint32_t max_tokens,
                   const TextSink& sink, Generation& generation) {
  if (prompt.size() > parts.context.left()) return Finish::context_full;
  DW_TRY_ASSIGN(const bool prefilled, compute(parts, prompt));
  if (!prefilled) return Finish::cancelled;

  std::string piece;
  while (true) {
    const Token token = parts.sampler.sample(parts.logits);
    if (token < 0) return fail(DW_E_CORRUPT, "The model gave no logit that is a number.");
    if (parts.model.is_end(token)) return Finish::stop;
    parts.sampler.accept(token);
    generation.last = token;
    ++generation.n_tokens;

    DW_TRY(parts.model.piece(token, piece));
    if (!show(parts.stream.push(piece), generation, sink)) return Finish::cancelled;
    if (parts.stream.stopped()) {
      generation.stop_string = true;
      return Finish::stop;
    }
    if (generation.n_tokens == max_tokens) return Finish::length;
    if (parts.context.left() == 0) return Finish::context_full;

    DW_TRY_ASSIGN(const bool computed, compute(parts, {&token, 1}));
    if (!computed) return Finish::cancelled;
    generation.last = -1;
  }
}

}  // namespace

std::string_view to_string(Finish finish) noexcept {
  switch (finish) {
    case Finish::stop: return "stop";
    case Finish::length: return "length";
    case Finish::cancelled: return "cancelled";
    case Finish::context_full: return "context_full";
  }
  return "unknown";
}

Result<Generation> generate(const GenerationParts& parts, std::span<const Token> prompt, std::uint32_t max_tokens,
                            const TextSink& sink) {
  Generation generation;
  auto finish = run(parts, prompt, max_tokens, sink, generation);
  // Also after an error: the stream must be ready for the next generation.
  const std::string_view rest = parts.stream.finish();
  if (!finish) return std::unexpected(std::move(finish).error());
  generation.finish = *finish;
  if (!show(rest, generation, sink)) generation.finish = Finish::cancelled;
  return generation;
}

}  // namespace driftwood::guest
