// The loop of a generation: compute, sample, show, again.
//
// One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "driftwood/context.hpp"
#include "driftwood/model.hpp"
#include "driftwood/result.hpp"
#include "driftwood/sampler.hpp"
#include "driftwood/stream.hpp"

namespace driftwood::guest {

/// Why a generation ended.
enum class Finish {
  stop,          ///< the model ended it, or a stop string came
  length,        ///< max_tokens
  cancelled,     ///< by the host or the sink
  context_full,  ///< no room for another token
};

/// "stop", "length", "cancelled", "context_full".
std::string_view to_string(Finish finish) noexcept;

/// Takes each piece of text as it comes: whole characters. False: nobody wants the rest.
using TextSink = std::function<bool(std::string_view piece)>;

/// What a generation works with; all of it borrowed.
struct GenerationParts {
  const Model& model;
  Context& context;
  Sampler& sampler;
  TextStream& stream;
  std::span<float> logits;  ///< room for n_vocab, see allocate_logits
};

struct Generation {
  Finish finish = Finish::stop;
  bool stop_string = false;  ///< a stop string ended it: the Context holds tokens past the text's end
  std::string text;
  std::uint32_t n_tokens = 0;  ///< generated; a token that ends the generation is not counted
  Token last = -1;             ///< generated, but not in the Context; -1: none
};

/// Computes `prompt`, then lets the model go on, for `max_tokens` at most (0: until the Context is full). Cancelling is
/// no error; what was generated before an error is in the Context. The sampler is told of every generated token.
Result<Generation> generate(const GenerationParts& parts, std::span<const Token> prompt, std::uint32_t max_tokens,
                            const TextSink& sink);

}  // namespace driftwood::guest
