// An actor's whole state as hashes, to compare two lives of it. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "actor/actor.hpp"
#include "console.hpp"
#include "context_scan.hpp"
#include "core/hash.hpp"
#include "core/wasm_value.hpp"

namespace driftwood::cli {

/// A digest's pages are compared to find where two memories differ first.
inline constexpr std::size_t kDigestPage = 4096;

/// SHA-256 of globals, in their order, with their types.
Hash hash_globals(std::span<const WasmValue> globals);

/// {"memory", "globals", "clock", "contexts": [...]}: SHA-256 of the linear memory, of the globals, of each Context's
/// bytes in use; the virtual clock and generator as text.
Json digest_of(Actor& actor, std::span<const KnownModel> models);

/// 64 bits of the SHA-256 of each page of memory.
std::vector<std::uint64_t> page_digests(std::span<const std::byte> memory);
Result<void> write_pages(const std::filesystem::path& path, std::span<const std::uint64_t> pages);
Result<std::vector<std::uint64_t>> read_pages(const std::filesystem::path& path);

/// What lies at an address: a Context's header or the KV rows of a token, or else the guest's own data.
std::string owner_of(std::uint64_t address, const Json& contexts);

}  // namespace driftwood::cli
