// A compiled WebAssembly module that actors run.
//
// Immutable. A Program is a handle: copies are cheap and stand for the same module. It may be
// used from any thread, and outlive its Runtime, whose compiler it keeps; actors can be made of
// it only while that Runtime lives, and only there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <driftwood/export.hpp>
#include <driftwood/hash.hpp>

namespace driftwood::DRIFTWOOD_V1 {

enum class ProgramKind {
  command,  ///< exports `_start`: Runtime::run() runs it from its first to its last instruction
  reactor,  ///< exports `driftwood_receive`: what Runtime::spawn() makes actors of
  library,  ///< neither, and of no use here
};

struct ProgramOptions {
  /// Whether a program whose actors could not be frozen is refused, with the reason.
  bool freezable = true;
};

class DRIFTWOOD_API Program {
 public:
  /// Its file's name, for people; empty for one that was compiled from bytes.
  const std::string& name() const noexcept;
  /// Of the module as it was given.
  const Hash& hash() const noexcept;
  ProgramKind kind() const noexcept;
  /// Whether its actors can be frozen and forked.
  bool freezable() const noexcept;
  /// Why not, as a sentence; empty for a freezable program.
  const std::string& freeze_obstacle() const noexcept;
  /// "module.name" of each import, in the module's order.
  const std::vector<std::string>& imports() const noexcept;

 private:
  struct State;
  friend class Runtime;
  explicit Program(std::shared_ptr<const State> state) noexcept;
  std::shared_ptr<const State> state_;
};

}  // namespace driftwood::DRIFTWOOD_V1
