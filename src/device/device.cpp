#include "device/device.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include <cstdint>
#include <mutex>

#include "device/decoder.hpp"
#include "device/mirror/mirror_cache.hpp"

namespace driftwood {
namespace {

bool satisfies(Sharing sharing, Require require) {
  switch (require) {
    case Require::same_memory: return sharing == Sharing::same_memory;
    case Require::no_copy: return sharing != Sharing::copied;
    case Require::any: return true;
  }
  return false;
}

std::string_view describe(Require require) { return require == Require::same_memory ? "the same memory" : "no copy"; }

/// The first tensor of the graph that has no memory, or none.
const ggml_tensor* find_unplaced(ggml_cgraph* graph) {
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    if (node->data == nullptr) return node;
    for (const ggml_tensor* source : node->src) {
      if (source != nullptr && source->data == nullptr) return source;
    }
  }
  return nullptr;
}

}  // namespace

Device::~Device() { DW_CHECK(live_imports_.load() == 0); }

Result<Import> Device::import(Region& region, ByteRange range, Require require) {
  DW_TRY(check_not_lost());
  DW_TRY_ASSIGN(Pin pin, region.pin(range));
  std::byte* const data = region.data() + range.offset;
  DW_TRY(check_import(data, range.size));
  DW_TRY(check_sharing(info_.capabilities.import_sharing, require));
  return import_bytes({.data = data, .size = range.size, .region = &region, .region_offset = range.offset}, require,
                      std::move(pin));
}

Result<Import> Device::import_read_only(const std::byte* data, std::size_t size, Require require, FileBytes file,
                                        const std::function<void(double)>& progress) {
  DW_TRY(check_not_lost());
  if (data == nullptr || size == 0) {
    return fail(ErrorCode::invalid_argument, fmt::format("Import of {} bytes is empty.", size));
  }
  DW_TRY(check_import(data, size));
  DW_TRY(check_sharing(info_.capabilities.weights_sharing, require));
  DW_TRY(check_room(size));
  return import_bytes({.data = const_cast<std::byte*>(data),
                       .size = size,
                       .read_only = true,
                       .file = file,
                       .progress = progress ? &progress : nullptr},
                      require, Pin());
}

Result<Import> Device::import_mapped(std::byte* data, std::size_t size, Require require) {
  DW_TRY(check_not_lost());
  DW_TRY(check_import(data, size));
  DW_TRY(check_sharing(info_.capabilities.import_sharing, require));
  return import_bytes({.data = data, .size = size}, require, Pin());
}

Result<void> Device::check_room(std::uint64_t weights_bytes) {
  if (info_.capabilities.weights_sharing != Sharing::copied) return {};
  auto free = free_memory();
  if (free && weights_bytes > *free) {
    drop_caches_impl();
    free = free_memory();
  }
  if (!free || weights_bytes <= *free) return {};
  return fail(ErrorCode::out_of_memory,
              fmt::format("The device ({}) has {} of its memory free, and the weights take {}.", info_.name,
                          format_bytes(*free), format_bytes(weights_bytes)));
}

void Device::drop_caches_impl() noexcept {
  if (MirrorCache* const cache = mirrors()) cache->drop();
}

Result<void> Device::check_import(const std::byte* data, std::size_t size) const {
  const DeviceCapabilities& can = info_.capabilities;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  if (!is_aligned(address, can.import_alignment)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Import at address {:#x} is not aligned to {} bytes, as the device ({}) needs it.", address,
                            can.import_alignment, info_.name));
  }
  if (size > can.max_import) {
    return fail(ErrorCode::unsupported,
                fmt::format("Import of {} bytes is more than the device ({}) takes at once ({}).", size, info_.name,
                            can.max_import));
  }
  return {};
}

Result<void> Device::check_sharing(Sharing sharing, Require require) const {
  if (satisfies(sharing, require)) return {};
  return fail(ErrorCode::unsupported, fmt::format("The device ({}) gives imports as {}, and this one insists on {}.",
                                                  info_.name, to_string(sharing), describe(require)));
}

Result<Import> Device::import_bytes(const HostBytes& bytes, Require require, Pin pin) {
  auto imported = import_impl(bytes);
  if (!imported) {
    note(imported.error());
    return std::unexpected(std::move(imported).error());
  }
  live_imports_.fetch_add(1);
  Import import;
  import.device_ = this;
  import.buffer_ = imported->buffer;
  import.host_ = bytes.data;
  import.device_base_ = static_cast<std::byte*>(ggml_backend_buffer_get_base(imported->buffer));
  import.size_ = bytes.size;
  import.sharing_ = imported->sharing;
  import.pin_ = std::move(pin);
  DW_TRY(check_sharing(imported->sharing, require));
  return import;
}

void Device::release(ggml_backend_buffer_t buffer) noexcept {
  release_impl(buffer);
  live_imports_.fetch_sub(1);
}

Result<void> Device::adopt(ggml_cgraph* graph) {
  DW_TRY(check_not_lost());
  auto adopted = adopt_impl(graph);
  if (!adopted) note(adopted.error());
  return adopted;
}

Result<void> Device::compute(ggml_cgraph* graph, const std::atomic<bool>* cancel) {
  if (const ggml_tensor* tensor = find_unplaced(graph)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Tensor ({}) of the graph has no memory.", ggml_get_name(tensor)));
  }
  const std::lock_guard lock(compute_mutex_);
  DW_TRY(check_not_lost());
  if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
    return fail(ErrorCode::cancelled, "The computation was cancelled before it began.");
  }
  // A guest's program may have no operators, and back ends look at a graph's first one.
  if (ggml_graph_n_nodes(graph) == 0) return {};
  auto computed = compute_impl(graph, cancel);
  if (!computed) note(computed.error());
  return computed;
}

void Device::rest() noexcept {
  const std::unique_lock lock(compute_mutex_, std::try_to_lock);
  if (lock.owns_lock()) rest_impl();
}

Result<void> Device::write(ggml_tensor* tensor, std::span<const std::byte> bytes) {
  DW_CHECK(tensor->data != nullptr && bytes.size() <= ggml_nbytes(tensor));
  DW_TRY(check_not_lost());
  auto written = write_impl(tensor, bytes);
  if (!written) note(written.error());
  return written;
}

Result<void> Device::read(const ggml_tensor* tensor, std::span<std::byte> bytes) {
  DW_CHECK(tensor->data != nullptr && bytes.size() <= ggml_nbytes(tensor));
  DW_TRY(check_not_lost());
  auto read = read_impl(tensor, bytes);
  if (!read) note(read.error());
  return read;
}

Result<void> Device::write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes) {
  ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
  return {};
}

Result<void> Device::read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes) {
  ggml_backend_tensor_get(tensor, bytes.data(), 0, bytes.size());
  return {};
}

Result<std::unique_ptr<Decoder>> Device::make_decoder(const DecoderModel& model) {
  DW_TRY(check_not_lost());
  auto decoder = make_decoder_impl(model);
  if (!decoder) note(decoder.error());
  return decoder;
}

Result<std::unique_ptr<Decoder>> Device::make_decoder_impl(const DecoderModel&) {
  return fail(ErrorCode::unsupported, fmt::format("The device ({}) has no decoder of its own.", info_.name));
}

Result<void> Device::check_not_lost() const {
  if (!lost_.load()) return {};
  return fail(ErrorCode::device_lost,
              fmt::format("The device ({}) was lost: open it again or use another one.", info_.name));
}

void Device::note(const Error& error) noexcept {
  if (error.code == ErrorCode::device_lost) lost_.store(true);
}

}  // namespace driftwood
