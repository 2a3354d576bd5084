// What of an actor is not its linear memory: everything that a thaw needs to know.
//
// A manifest is encoded as canonical JSON (RFC 8785: sorted keys, no spaces), so that one
// manifest has one encoding, and hashing it is well defined. Decoding is strict: an
// unknown member, a wrong type, a duplicate or another spelling is refused, with a
// sentence that names it. docs/snapshot-format.md lists the members. Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/wasm_value.hpp"
#include "snapshot/numerics.hpp"

namespace driftwood {

/// Most bytes of an encoded manifest.
inline constexpr std::size_t kMaxManifestSize = 4 * kMiB;

struct Manifest {
  struct ProgramReference {
    Hash hash;         ///< of the module as it was given
    std::string name;  ///< a hint for people and for finding it: "chat.wasm"
    friend bool operator==(const ProgramReference&, const ProgramReference&) = default;
  };
  struct ModelReference {
    std::uint32_t handle = 0;  ///< the guest's number for it, from 1 on
    std::string name;          ///< as granted to the guest
    Hash hash;                 ///< of its file
    friend bool operator==(const ModelReference&, const ModelReference&) = default;
  };
  struct Directory {
    std::string host;   ///< as it was granted where the actor was frozen; a thaw elsewhere maps it anew
    std::string guest;  ///< the name that the guest knows
    bool read_only = false;
    friend bool operator==(const Directory&, const Directory&) = default;
  };
  struct Wasi {
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment;
    std::vector<Directory> directories;
    friend bool operator==(const Wasi&, const Wasi&) = default;
  };
  struct Limits {
    std::uint64_t memory_bytes = 0;
    std::uint64_t run_time_ms = 0;  ///< 0: no limit
    std::uint32_t table_elements = 0;
    friend bool operator==(const Limits&, const Limits&) = default;
  };
  /// A virtual clock and a seeded generator that are part of the actor.
  struct Determinism {
    std::uint64_t seed = 0;
    std::uint64_t random_position = 0;  ///< bytes drawn so far
    std::int64_t clock_ns = 0;          ///< the virtual clock
    friend bool operator==(const Determinism&, const Determinism&) = default;
  };

  ProgramReference program;
  std::uint32_t abi_version = 0;
  std::string actor;               ///< its name at the node
  std::string label;               ///< the one it was given when it was frozen; may be empty
  std::int64_t created_ns = 0;     ///< since 1970
  std::optional<Hash> parent;      ///< root hash of the snapshot that it went on from
  std::uint32_t fork_index = 0;    ///< which child of a fork it is
  std::vector<WasmValue> globals;  ///< the mutable ones, in the module's order
  std::vector<ModelReference> models;
  Wasi wasi;
  NumericsFingerprint numerics;
  Limits limits;
  std::optional<Determinism> determinism;

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// invalid_argument: a text is not UTF-8, the name of an environment variable is empty or holds '=', or the encoding
/// would be larger than kMaxManifestSize.
Result<std::string> encode_manifest(const Manifest& manifest);

/// corrupt: the text is not the one encoding of a manifest; the message says where it departs.
Result<Manifest> decode_manifest(std::string_view text);

}  // namespace driftwood
