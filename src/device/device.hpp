// The seam between Driftwood and what computes: CPU, Vulkan, CUDA, Metal, null.
//
// The public functions are not virtual: they check once, then call the private
// virtual ..._impl of a device, which only translates. The language of graphs is
// ggml's (ggml_cgraph over tensors placed in Imports and device buffers).
// Every function may be called from any thread; computations on one Device run one
// after another. A device that was lost fails every call with device_lost.
#pragma once

#include <ggml-backend.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "core/fair_mutex.hpp"
#include "device/import.hpp"
#include "device/sharing.hpp"

namespace driftwood {

class Crew;
class Decoder;
class MirrorCache;
struct DecoderModel;

/// What a device can do, asked once when it is opened.
struct DeviceCapabilities {
  bool host_kernels = false;                 ///< graphs may hold ggml custom operators that run on host threads
  bool host_addresses = false;               ///< tensors of an import that is not copied have the host's own addresses
  Sharing import_sharing = Sharing::copied;  ///< what an import of a Region gives
  Sharing weights_sharing =
      Sharing::copied;                ///< what a read-only import gives: copied where the device has memory of its own
  std::size_t import_alignment = 1;   ///< bytes, a power of two: offset and address of an imported range
  std::size_t tensor_alignment = 1;   ///< bytes, a power of two: address of each tensor that a kernel reads or writes
  std::size_t max_import = SIZE_MAX;  ///< bytes in one import
  std::uint32_t prompt_chunk = 512;   ///< tokens of a prompt that are best computed at once
  /// Rows of activations from which products with quantized weights are made in bf16 rather than in the weights' type;
  /// 0: never.
  std::uint32_t bf16_products_from = 0;
};

/// What the bits of a result depend on besides the graph and its inputs.
struct DeviceNumerics {
  std::string device;                 ///< "cpu", "vulkan: llvmpipe (LLVM 15.0.6, 256 bits)"
  std::string kernels;                ///< their version
  std::vector<std::string> features;  ///< of the hardware, sorted
  int threads = 0;                    ///< of a computation; 0 where their number changes no result
};

/// Where bytes of the host lie in a file, so that another process can map them.
struct FileBytes {
  int fd = -1;  ///< open as long as the Import lives; -1: they lie in none
  std::size_t offset = 0;
};

struct DeviceInfo {
  std::string name;                ///< as in --device: "cpu", "vulkan:0", "null"
  std::string description;         ///< the hardware's or the driver's own name
  std::uint64_t memory_total = 0;  ///< bytes; 0 where it is not known
  int threads = 0;                 ///< host threads that compute, 0 for a GPU
  bool in_worker = false;          ///< a process of its own computes (device/worker)
  DeviceCapabilities capabilities;
  DeviceNumerics numerics;
};

class Device {
 public:
  virtual ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceInfo& info() const noexcept { return info_; }

  /// Imports `range` of a Region's committed bytes and pins it.
  /// invalid_argument: empty, beyond the committed bytes or not aligned;
  /// unsupported: more than the device takes at once, or it cannot give what `require`
  /// insists on; out_of_memory, device_lost: as they say. A failed import leaves no trace.
  Result<Import> import(Region& region, ByteRange range, Require require = Require::no_copy);

  /// Imports `size` read-only bytes of the host at `data` (model weights mapped from
  /// a file), which must outlive the Import and not change. `progress` gets the fraction that was copied, now and then,
  /// where a device of this process copies them. Fails as import() does and as check_room().
  Result<Import> import_read_only(const std::byte* data, std::size_t size, Require require = Require::no_copy,
                                  FileBytes file = {}, const std::function<void(double)>& progress = {});
  /// Imports bytes of the host, for reading and writing, that lie in no Region of this process; the caller keeps them
  /// where they are. Fails as import() does.
  Result<Import> import_mapped(std::byte* data, std::size_t size, Require require);

  /// out_of_memory: weights are copied to the device, and less of its memory is free than they take, also after its
  /// caches that no pass uses were dropped. That may change at any time: what passes may still find no room.
  Result<void> check_room(std::uint64_t weights_bytes);

  /// Bytes of memory of its own that nobody uses now; nothing where it has none or its driver does not tell.
  std::optional<std::uint64_t> free_memory() { return free_memory_impl(); }

  /// A graph was built, with memory for its tensors: called once, before it runs. It stays where it is until forget().
  /// unsupported, out_of_memory: the device cannot run it.
  Result<void> adopt(ggml_cgraph* graph);
  void forget(const ggml_cgraph* graph) noexcept { forget_impl(graph); }

  /// Runs a graph that was adopted. Returns when results are
  /// in memory. Prefer `Graph` (graph.hpp), which owns what the graph needs.
  /// cancelled: `*cancel` became true; it is looked at between operators, and what
  /// the graph writes is undefined then, as it is after any other failure. unavailable: what computed ended in the
  /// middle, and is there again: with its inputs set once more, the graph may run again where it does not read what it
  /// wrote.
  Result<void> compute(ggml_cgraph* graph, const std::atomic<bool>* cancel = nullptr);

  /// Writes the first bytes of a tensor in scratch memory, or reads them. Between runs of its graph.
  Result<void> write(ggml_tensor* tensor, std::span<const std::byte> bytes);
  Result<void> read(const ggml_tensor* tensor, std::span<std::byte> bytes);

  /// Whether the device has a kernel for this operator with these types.
  bool supports(const ggml_tensor* op) { return supports_impl(op); }

  /// Where intermediate tensors of this device's graphs live. Borrowed.
  ggml_backend_buffer_type_t scratch_type() { return scratch_type_impl(); }

  /// True: the device was lost, and its library ends the process where memory there is freed, which stays as it is then
  /// until the process ends.
  bool leaves_memory() noexcept { return leaves_memory_impl(); }

  /// Threads that host kernels of a graph may ask for help, where `compute` runs it on one; null: there are none.
  /// Borrowed.
  Crew* crew() noexcept { return crew_impl(); }

  /// Threads of the device that look for work sleep until there is some, unless it computes. Any thread may say so,
  /// before it changes mappings, say, for which the system interrupts each core that runs the process.
  void rest() noexcept;

  /// Copies of guest memory that the device reads faster than the memory itself; null where it has none. Borrowed.
  MirrorCache* mirrors() noexcept { return mirrors_impl(); }
  /// The device's own way to decode with a model, whose weights are on it. unsupported: it has none, or none for such a
  /// model; out_of_memory: no room for the weights in the decoder's form. Who runs it asks check_not_lost() before, and
  /// gives note() what it fails with; so does who has mirrors got ready.
  Result<std::unique_ptr<Decoder>> make_decoder(const DecoderModel& model);

  /// device_lost where the device is lost. For those that go on to use its mirrors or a decoder, which do not ask.
  Result<void> check_not_lost() const;
  /// Tells the device of an error that came from its mirrors or a decoder of its: device_lost loses it for all.
  void note(const Error& error) noexcept;

  /// Bytes copied so far between host memory and this device's copies of it; 0 for ever
  /// on a device whose imports are not Sharing::copied.
  std::uint64_t bytes_copied() const noexcept { return bytes_copied_.load(std::memory_order_relaxed); }

 protected:
  /// What a device is asked to hold.
  struct HostBytes {
    std::byte* data = nullptr;
    std::size_t size = 0;
    bool read_only = false;
    Region* region = nullptr;                               ///< that they lie in; null: none
    std::size_t region_offset = 0;                          ///< of the first byte
    FileBytes file = {};                                    ///< where read_only
    const std::function<void(double)>* progress = nullptr;  ///< of their copy, if anyone asks
  };
  struct Imported {
    ggml_backend_buffer_t buffer;
    Sharing sharing;
  };

  explicit Device(DeviceInfo info) : info_(std::move(info)) {}

  void count_copied(std::size_t bytes) noexcept { bytes_copied_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  friend class Import;

  /// A buffer over `bytes`, whose place and size were checked against the capabilities. What it really gives may be
  /// less than they promise (a driver that refuses a file's mapping, which is copied then), never silently.
  virtual Result<Imported> import_impl(const HostBytes& bytes) = 0;
  virtual void release_impl(ggml_backend_buffer_t buffer) noexcept { ggml_backend_buffer_free(buffer); }
  virtual std::optional<std::uint64_t> free_memory_impl() { return std::nullopt; }
  /// Frees memory of the device's that holds nothing but copies, as far as no pass uses it.
  virtual void drop_caches_impl() noexcept;
  virtual Result<void> adopt_impl(ggml_cgraph*) { return {}; }
  virtual void forget_impl(const ggml_cgraph*) noexcept {}
  /// Called by one thread at a time, with tensors that all have their memory.
  virtual Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) = 0;
  virtual void rest_impl() noexcept {}
  virtual bool supports_impl(const ggml_tensor* op) = 0;
  /// Bytes of a tensor that lies in scratch memory.
  virtual Result<void> write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes);
  virtual Result<void> read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes);
  virtual ggml_backend_buffer_type_t scratch_type_impl() = 0;
  virtual bool leaves_memory_impl() noexcept { return false; }
  virtual Crew* crew_impl() noexcept { return nullptr; }
  virtual MirrorCache* mirrors_impl() noexcept { return nullptr; }
  virtual Result<std::unique_ptr<Decoder>> make_decoder_impl(const DecoderModel& model);

  Result<Import> import_bytes(const HostBytes& bytes, Require require, Pin pin);
  Result<void> check_import(const std::byte* data, std::size_t size) const;
  Result<void> check_sharing(Sharing sharing, Require require) const;
  void release(ggml_backend_buffer_t buffer) noexcept;

  const DeviceInfo info_;
  FairMutex compute_mutex_;  ///< two models of a device take turns
  std::atomic<bool> lost_{false};
  std::atomic<std::uint64_t> bytes_copied_{0};
  std::atomic<std::size_t> live_imports_{0};
};

/// Whether a device computes in a process of its own (device/worker).
enum class WorkerUse {
  automatic,  ///< where docs/gpu.md says that it pays
  off,
  on,
};

struct DeviceOptions {
  int threads = 0;  ///< host threads that compute; 0: one for each core that the process may use
  /// Bytes of weights that it will have to hold; 0: not known. A card with less memory, or with less of it free, is
  /// too small.
  std::uint64_t weights_bytes = 0;
  /// Bytes of a card's memory for copies of KV rows (device/mirror); 0: they are read over the bus; without a value:
  /// half of what is free beside the weights.
  std::optional<std::uint64_t> mirror_budget = std::nullopt;
  WorkerUse worker = WorkerUse::automatic;
  std::chrono::milliseconds worker_time_limit{300000};  ///< of one computation there, after which it counts as hung
};

/// A device of this machine, or a kind of device that this machine has none of.
struct DeviceListing {
  DeviceInfo info;                      ///< what is known without opening it; of an absent kind, its name only
  bool hardware = false;                ///< a processor made for this: what "auto" prefers to the CPU
  std::vector<std::string> extensions;  ///< of its driver, those that Driftwood uses where they are
  std::string obstacle;                 ///< a sentence that says why it cannot be used; empty: it can
  std::string note = {};                ///< what its user should know; empty: nothing
};

/// Every kind of device and its devices, best first. Loads the drivers of GPUs.
std::vector<DeviceListing> list_devices();
/// Names of those that can be used, as open_device takes them, without "auto".
std::vector<std::string> device_names();

/// Opens a device by its name: "cpu", "null", "metal", "cuda:N", "vulkan:N" (without a number: the first one), or
/// "auto": the first one with hardware of its own that opens, else the CPU; what was passed over is logged.
/// not_found: no such kind or number, with those that there are; unavailable: no driver; unsupported: one that cannot
/// be used, and why; out_of_memory: too small a card, or one that others have filled.
Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options = {});

}  // namespace driftwood
