// A compiled module, rewritten so that its Instances can be frozen, with its content hash
// and the Image that their memories begin from.
//
// Immutable and shared by its Instances; may be used from any thread. The hash is
// of the bytes that were given, whatever form they are compiled in.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "wasm/engine.hpp"
#include "wasm/host_function.hpp"

struct wasmtime_module;

namespace driftwood {

class Image;
class Linkage;
struct ModuleFacts;

/// How a program is run.
enum class ProgramKind {
  command,  ///< exports `_start`: runs once, from its first to its last instruction
  reactor,  ///< exports `driftwood_receive`: runs for each message, at rest between them
  library,  ///< neither: its exports are called by name
};

struct ProgramOptions {
  /// Whether a program that cannot be frozen is refused. False: its Instances are never to be frozen, and it is taken
  /// as it is.
  bool freezable = true;
};

class Program {
 public:
  /// Compiles, or takes from the engine's cache. invalid_argument: not a Wasm module (text or binary), one that does
  /// not validate, has a data segment beyond its memory, or exports a name that begins with "__driftwood_", with the
  /// reason; unsupported: text, where Wasmtime was built without its parser, a component, or a program that cannot be
  /// frozen though the options ask for it.
  static Result<std::shared_ptr<const Program>> compile(Engine& engine, std::span<const std::byte> module,
                                                        const ProgramOptions& options = {});
  /// Likewise from a file of at most 1 GiB. not_found: it cannot be read.
  static Result<std::shared_ptr<const Program>> load(Engine& engine, const std::filesystem::path& path,
                                                     const ProgramOptions& options = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const Hash& hash() const noexcept;  ///< of the module as it was given
  ProgramKind kind() const noexcept;
  bool from_cache() const noexcept;
  /// Whether memory and mutable globals are all that its Instances can change.
  bool freezable() const noexcept;
  /// What else they can change, as a sentence that names it; empty for a freezable program.
  const std::string& freeze_obstacle() const noexcept;
  /// The linear memory as every Instance begins with it; null for a program without one.
  const std::shared_ptr<const Image>& first_image() const noexcept;
  /// "module.name" of each import, in the module's order.
  const std::vector<std::string>& imports() const noexcept;
  Engine& engine() const noexcept;
  wasmtime_module* handle() const noexcept;
  /// For Instance: what the rewriter knows of the module.
  const ModuleFacts& facts() const noexcept;

  /// For Instance: the program with its imports resolved against `functions`, made at the first use of a table and
  /// kept with the Program. Fails as Instance::create says of imports.
  Result<const Linkage*> link(std::span<const HostFunction> functions) const;

 private:
  struct State;
  explicit Program(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
