// What a device worker maps of a node's memory, and imports into its device. One thread at a time.
#pragma once

#include <memory>
#include <span>

#include "device/device.hpp"
#include "device/worker/channel.hpp"
#include "device/worker/wire.hpp"
#include "memory/layer_view.hpp"

namespace driftwood::worker {

class MappedImport {
 public:
  /// corrupt: pieces that do not lie in the files; out_of_memory; else as Device::import.
  static Result<std::unique_ptr<MappedImport>> create(Device& device, const ImportRequest& request,
                                                      std::span<const File> files);
  /// The same import over other pages; it has the same size. What was placed in it must be placed anew.
  Result<void> map(const ImportRequest& request, std::span<const File> files);

  const Import& import() const noexcept { return import_; }
  /// Another one after each map().
  std::uint64_t version() const noexcept { return version_; }

 private:
  MappedImport(Device& device, const ImportRequest& request)
      : device_(&device), lead_(request.lead), size_(request.size), read_only_(request.read_only != 0) {}
  Result<void> reserve(std::size_t pages);
  Result<void> map_pieces(const ImportRequest& request, std::span<const File> files);
  Result<void> take_hold();

  Device* device_;
  std::uint64_t lead_;
  std::uint64_t size_;
  bool read_only_;
  LayerView view_;  ///< the addresses, before what holds them
  std::size_t pages_ = 0;
  Import import_;
  std::uint64_t version_ = 0;
};

}  // namespace driftwood::worker
