// The largest logits, in a fixed order.
#pragma once

#include <span>

#include "llm/forward_request.hpp"

namespace driftwood {

/// Fills `best` with the largest of `logits`, highest first, equal ones by the lower token; a logit that is
/// no number counts as the lowest. `best` may not be longer than `logits`.
void select_top_k(std::span<const float> logits, std::span<TokenLogit> best);

}  // namespace driftwood
