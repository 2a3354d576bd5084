#include <fmt/format.h>

#include "device/null/null_device.hpp"

namespace driftwood {
namespace {

std::string_view name_of(NullStep step) {
  switch (step) {
    case NullStep::import: return "an import";
    case NullStep::adopt: return "a graph";
    case NullStep::write: return "a write";
    case NullStep::read: return "a read";
    case NullStep::compute: return "a computation";
    case NullStep::late_compute: return "at the end of a computation";
    case NullStep::make_chunk: return "making a chunk";
    case NullStep::map_chunk: return "mapping a chunk";
    case NullStep::clear_chunk: return "clearing a chunk";
    case NullStep::copy_in: return "a copy from the host";
    case NullStep::copy_out: return "a copy to the host";
    case NullStep::copy_within: return "a copy between chunks";
    case NullStep::make_decoder: return "making a decoder";
    case NullStep::decode: return "a decoding step";
  }
  return "";
}

}  // namespace

void NullDeviceControl::fail(NullStep step, int count, ErrorCode code, int after) {
  const std::lock_guard lock(mutex_);
  failures_[step] = {after, count, code};
}

void NullDeviceControl::refuse_imports(bool refuse) {
  const std::lock_guard lock(mutex_);
  refuse_imports_ = refuse;
}

Result<void> NullDeviceControl::next(NullStep step) {
  const std::lock_guard lock(mutex_);
  if (step == NullStep::import && refuse_imports_) {
    return driftwood::fail(ErrorCode::unsupported, "The device (null) refuses imports as it was told.");
  }
  const auto found = failures_.find(step);
  if (found == failures_.end() || found->second.count == 0) return {};
  auto& [after, count, code] = found->second;
  if (after > 0) {
    --after;
    return {};
  }
  --count;
  return driftwood::fail(
      code, fmt::format("The device (null) failed {} as it was told ({}).", name_of(step), to_string(code)));
}

}  // namespace driftwood
