// Rewrites a module so that its instances can be frozen, thawed and forked.
//
//   mutable globals       each exported under a reserved name, so that the host can read and set it
//   start function        exported under a reserved name; nothing runs at instantiation
//   active data segments  taken out, as what the memory begins with; an empty passive segment stays in each one's
//   place,
//                         which behaves as the active one does after instantiation, so that no index changes
//
// All else, custom sections among it, stays byte for byte. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.hpp"
#include "wasm/module/module_facts.hpp"

namespace driftwood {

/// Counts up whenever the same module is rewritten, or its facts are encoded, in another way.
inline constexpr std::uint32_t kRewriterVersion = 1;

struct RewrittenModule {
  std::vector<std::byte> binary;
  ModuleFacts facts;  ///< its data borrows the bytes of the module given
};

/// `module` is a binary one that validates; any other bytes are safe to give. A module that cannot be frozen is
/// rewritten too, and its facts say why. invalid_argument: malformed, a data segment beyond the memory, an export under
/// a reserved name; unsupported: an instruction or a segment's place that is not known here.
Result<RewrittenModule> rewrite_module(std::span<const std::byte> module);

}  // namespace driftwood
