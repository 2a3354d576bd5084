// Compiled modules on disk, so that a program is compiled once per machine.
//
// A file is what Wasmtime serializes (an ELF image that is mapped, not read),
// followed by the module's facts and a footer of ours. Its name is a hash over the
// module, Wasmtime's version, the rewriter's, our compiler settings and the processor.
//
// Trust: Wasmtime runs what a file says, so nobody else may write it. The folder
// and the files must belong to this user and be writable by no other; what is not
// is left alone. Damage (a torn write, a bad disk) is found by a 64-bit checksum,
// which costs about 0.1 ms per MB where a cryptographic hash would cost 1 ms and,
// against someone who can write as this user, gain nothing. Files of another
// version or machine are refused by Wasmtime itself. What is refused is compiled
// anew and replaced.
//
// Threads and processes may share a folder: files appear whole, by rename. The
// folder may be deleted at any time. Internal to src/wasm.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/private_folder.hpp"
#include "wasm/compile.hpp"
#include "wasm/engine.hpp"

namespace driftwood {

class ModuleCache {
 public:
  /// Makes the folder (mode 0700) when it is missing. unavailable: it cannot be
  /// made, belongs to another user, or others may write to it.
  static Result<std::unique_ptr<ModuleCache>> open(const std::filesystem::path& folder);

  /// The compiled form of the module with this hash, if it is there.
  std::optional<CompiledModule> load(const Engine& engine, const Hash& module) const;
  /// Keeps a compiled module; replaces what is there.
  Result<void> store(const CompiledModule& compiled, const Hash& module) const;

  /// Where load() looks for a module.
  std::filesystem::path file_of(const Hash& module) const;

 private:
  explicit ModuleCache(PrivateFolder folder);

  PrivateFolder folder_;
  Hash machine_;  ///< of everything but the module that the compiled code depends on
};

}  // namespace driftwood
