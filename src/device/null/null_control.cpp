#include <fmt/format.h>

#include "device/null/null_device.hpp"

namespace driftwood {

void NullDeviceControl::fail_imports(int count, ErrorCode code) {
  const std::lock_guard lock(mutex_);
  imports_ = {count, code};
}

void NullDeviceControl::fail_computes(int count, ErrorCode code) {
  const std::lock_guard lock(mutex_);
  computes_ = {count, code};
}

void NullDeviceControl::fail_computes_late(int count, ErrorCode code) {
  const std::lock_guard lock(mutex_);
  late_computes_ = {count, code};
}

void NullDeviceControl::refuse_imports(bool refuse) {
  const std::lock_guard lock(mutex_);
  refuse_imports_ = refuse;
}

Result<void> NullDeviceControl::next(Failures& failures, std::string_view what) {
  if (failures.count == 0) return {};
  --failures.count;
  return fail(failures.code,
              fmt::format("The device (null) failed {} as it was told ({}).", what, to_string(failures.code)));
}

Result<void> NullDeviceControl::next_import() {
  const std::lock_guard lock(mutex_);
  if (refuse_imports_) return fail(ErrorCode::unsupported, "The device (null) refuses imports as it was told.");
  return next(imports_, "an import");
}

Result<void> NullDeviceControl::next_compute() {
  const std::lock_guard lock(mutex_);
  return next(computes_, "a computation");
}

Result<void> NullDeviceControl::next_late_compute() {
  const std::lock_guard lock(mutex_);
  return next(late_computes_, "at the end of a computation");
}

}  // namespace driftwood
