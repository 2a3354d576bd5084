// Everything that actors need, in one: what computes, the models, the compiler, the actors' threads.
//
// A process has one Runtime as a rule. It may be used from any thread; it is move-only, and its
// end (or shutdown()) kills its actors and waits until none runs. Programs, Actors and Snapshots
// may outlive it: what is asked of an Actor then fails with what it ended with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <driftwood/actor.hpp>
#include <driftwood/device.hpp>
#include <driftwood/error.hpp>
#include <driftwood/export.hpp>
#include <driftwood/model.hpp>
#include <driftwood/program.hpp>
#include <driftwood/snapshot.hpp>

namespace driftwood::DRIFTWOOD_V1 {

struct RuntimeOptions {
  std::string device = "auto";  ///< "auto", or one of device_names()
  int compute_threads = 0;      ///< host threads that compute; 0: one for each core that the process may use
  DeviceWorker device_worker = DeviceWorker::automatic;
  /// Bytes of the models' files that will be loaded, as far as they are known: "auto" passes over a card with less room
  /// for them, and by its name such a card is out_of_memory. Loading asks for room whatever was said here.
  std::uint64_t expected_weights_bytes = 0;
  /// Most weights loaded at a time, of all models; 0: no limit. Where a card has no room for a model, models that
  /// nobody uses are unloaded whatever was said here.
  std::uint64_t weights_bytes = 0;
  /// Most bytes of a card's memory for copies of KV rows; 0: they are read over the bus; without a value: half of what
  /// is free beside the expected weights.
  std::optional<std::uint64_t> mirror_bytes = std::nullopt;
  /// What a guest computes does not depend on what others compute at the same time, whatever that costs; else only
  /// where it costs nothing (models of quantized types, on the CPU).
  bool strict = false;

  bool cache_programs = true;  ///< compiled programs are kept in a folder
  /// That folder, made where it is missing; empty: $DRIFTWOOD_CACHE/modules, else $XDG_CACHE_HOME/driftwood/modules,
  /// else the same below ~/.cache; without any of these, none is kept.
  std::filesystem::path program_cache;

  bool cache_weights = true;  ///< models' weights, as the CPU's kernels read them, are kept in a folder and shared
  /// That folder, made where it is missing; empty: packed beside where programs lie by default.
  std::filesystem::path weights_cache;

  std::size_t max_actors = 4096;                         ///< that live at the same time
  std::size_t actor_threads = 256;                       ///< actors that run at the same time, at least 1
  std::size_t mailbox_messages = 1024;                   ///< that wait for one actor, at least 1
  std::uint64_t waiting_bytes = std::uint64_t{1} << 28;  ///< of all messages that wait
  /// Forward passes that wait for one model at the same time, those that run included, at least 1; the guest whose pass
  /// is one too many gets DW_E_UNAVAILABLE. Only where actor_threads are more can that be.
  std::size_t waiting_passes = 4096;

  /// Actors that are not frozen at the same time; 0: all may be. When there are more, those at rest that have handled
  /// nothing for longest are frozen; their next message thaws them.
  std::size_t max_awake = 0;
  std::uint64_t awake_bytes = 0;  ///< the same for the sizes of their linear memories; 0: no bound

  /// Keeps what an actor asked for with dw_checkpoint, whose label the snapshot has; the value is where it was saved,
  /// if it was: the parent of the actor's next snapshot. A handler, as actor.hpp describes them, called for several
  /// actors at the same time; the actor is at rest.
  /// Empty: guests are told that there are no checkpoints.
  std::function<std::optional<SnapshotId>(const Actor& actor, const Snapshot& snapshot)> on_checkpoint;
};

class DRIFTWOOD_API Runtime {
 public:
  /// not_found: there is no such device, or no program for its worker; invalid_argument: a number out of range;
  /// unsupported: a worker, but not on Linux; out_of_memory: no room for the expected weights on the device.
  static Result<Runtime> create(RuntimeOptions options = {});
  ~Runtime();
  Runtime(Runtime&&) noexcept;
  Runtime& operator=(Runtime&&) noexcept;

  DeviceInfo device() const;

  /// Makes a GGUF file known under `name`; nothing is loaded. invalid_argument: the name is taken by another file.
  Result<void> add_model(std::string name, std::filesystem::path path);
  /// Loads it now rather than when an actor first opens it. not_found; corrupt, unsupported: the file, with what and
  /// where; out_of_memory: it does not fit beside the models in use, or the device has no room for it. `progress` gets
  /// the fraction done, on this thread.
  Result<void> load_model(std::string_view name, const std::function<void(double)>& progress = {});
  std::vector<ModelInfo> models() const;

  /// Compiles a module file (binary, or text), or takes it from the cache. not_found: no such file; invalid_argument:
  /// no valid module; unsupported: its actors could not be frozen, with the reason, though the options ask for it.
  Result<Program> load_program(const std::filesystem::path& path, const ProgramOptions& options = {});
  /// The same from bytes, which are not used afterwards.
  Result<Program> compile_program(std::span<const std::byte> module, const ProgramOptions& options = {});

  /// A new actor, at rest: its start function and `_initialize` have run, on this thread, which needs 1 MiB of stack
  /// for them. invalid_argument: the program is no reactor, or another Runtime's; not_found: an import or folder that
  /// is not there; guest_trap: its start trapped; unavailable: max_actors live, or the Runtime has ended.
  Result<Actor> spawn(const Program& program, ActorOptions options = {});
  /// An actor that is what was frozen; nothing of its memory is read or copied. Its name, arguments, environment, clock
  /// and generator are the snapshot's; what it may use is that of `options`. incompatible: of another program or model,
  /// whose file is read for that where this machine does not know its hash yet; not_found: a model or folder that the
  /// actor uses and that is not granted; corrupt; else as spawn().
  Result<Actor> thaw(const Program& program, const Snapshot& snapshot, ActorOptions options = {});
  /// Why an actor's results may differ here in bits from those where it was frozen, as a sentence; empty when they do
  /// not.
  std::string numerics_difference(const Snapshot& snapshot) const;
  /// Runs a command on this thread, which needs 1 MiB of stack for it; the value is its exit status. It is not listed
  /// among the actors. invalid_argument: the program is no command, or another Runtime's; guest_trap.
  Result<int> run(const Program& program, ActorOptions options = {});

  /// not_found: there is no such actor, or it ended long ago.
  Result<Actor> find(ActorId id) const;
  /// All that live and the last ones that ended, by number.
  std::vector<ActorStatus> actors() const;

  /// Waits until no message waits or is handled. Not in a handler.
  void wait_idle();
  /// Kills all actors, waits until none runs, and refuses new ones from then on. Not in a handler.
  void shutdown();

 private:
  explicit Runtime(std::shared_ptr<RuntimeState> state) noexcept;
  std::shared_ptr<RuntimeState> state_;
};

}  // namespace driftwood::DRIFTWOOD_V1
