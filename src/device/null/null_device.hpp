// A device for tests: it computes as the CPU does, on one thread, and shares,
// refuses and fails as it is told, so that users of the seam can be tested
// against every kind of device without its hardware.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "device/driver.hpp"

namespace driftwood {

/// What the device claims to be. For Sharing::copied it really computes in memory of its
/// own: what a graph reads is copied in before it runs, what it wrote is copied out after.
struct NullDeviceOptions {
  Sharing sharing = Sharing::same_memory;
  std::size_t import_alignment = 32;                        ///< bytes, a power of two, at least 32
  std::size_t tensor_alignment = 1;                         ///< bytes, a power of two
  std::size_t max_import = SIZE_MAX;                        ///< bytes
  bool host_kernels = true;                                 ///< off: custom operators are unsupported, as on a GPU
  std::size_t mirror_chunks = 0;                            ///< of 64 KiB, for mirrors of guest memory; 0: it has none
  bool decoder = false;                                     ///< null_decoder.hpp; not where imports are copied
  std::optional<std::uint64_t> free_memory = std::nullopt;  ///< bytes of its own; without a value: it does not tell
};

/// What a device can be told to fail at.
enum class NullStep : std::uint8_t {
  import,
  adopt,  ///< a graph
  write,  ///< to a tensor in scratch memory
  read,   ///< from one
  compute,
  late_compute,  ///< after all results were written, as a kernel that fails late does
  make_chunk,    ///< of mirrors
  map_chunk,
  clear_chunk,
  copy_in,      ///< rows to a mirror
  copy_out,     ///< and from it
  copy_within,  ///< from chunk to chunk
  make_decoder,
  decode,
};

/// Shared by a test and its device. Any thread may call.
class NullDeviceControl {
 public:
  explicit NullDeviceControl(const NullDeviceOptions& options = {}) : options_(options) {}

  const NullDeviceOptions& options() const noexcept { return options_; }

  /// The next `count` times it comes to `step`, after so many that go well, it fails with `code` before it touches
  /// anything. device_lost stays: the device is lost from the first one on.
  void fail(NullStep step, int count, ErrorCode code, int after = 0);
  void fail_imports(int count, ErrorCode code) { fail(NullStep::import, count, code); }
  void fail_computes(int count, ErrorCode code) { fail(NullStep::compute, count, code); }
  void fail_computes_late(int count, ErrorCode code) { fail(NullStep::late_compute, count, code); }
  /// Imports fail with unsupported until this is called with false.
  void refuse_imports(bool refuse);

  /// For the device and its parts, which come to `step`.
  Result<void> next(NullStep step);

 private:
  struct Failures {
    int after = 0;
    int count = 0;
    ErrorCode code = ErrorCode::internal;
  };

  const NullDeviceOptions options_;
  std::mutex mutex_;
  std::map<NullStep, Failures> failures_;
  bool refuse_imports_ = false;
};

/// invalid_argument: options that cannot be.
Result<std::unique_ptr<Device>> create_null_device(std::shared_ptr<NullDeviceControl> control);
DeviceDriver null_driver();

}  // namespace driftwood
