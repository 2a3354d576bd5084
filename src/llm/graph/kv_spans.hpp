// Where fused attention finds the KV rows of a Context.
#pragma once

#include "device/cpu/attention_plan.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

/// Fills `sequence`, whose vectors keep their memory. Past tokens that lie in an Image as they were sealed are read
/// through it, so that forks of one have the same spans; all others where they are. Valid until the memory is written,
/// but for rows of the pass, or sealed.
void find_kv_rows(const KvBinding& binding, cpu::KvSequence& sequence);

}  // namespace driftwood
