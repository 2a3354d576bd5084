#include "device/worker/worker_device.hpp"

namespace driftwood::worker {

Result<void> check_worker_program() {
  return fail(ErrorCode::unsupported, "Device workers need Linux: start without one (--device-worker off).");
}

Result<std::unique_ptr<Device>> open_worker_device(const std::string&, const WorkerOptions&) {
  DW_TRY(check_worker_program());
  return nullptr;
}

}  // namespace driftwood::worker
