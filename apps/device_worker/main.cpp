// The device worker: computes on a device for the node that started it. Not for people: it has no options.

#include "device/device.hpp"
#include "device/worker/process.hpp"
#include "device/worker/server.hpp"

int main() {
  using namespace driftwood;
  return worker::serve(worker::kWorkerSocket, [](const std::string& name, DeviceOptions options) {
    options.worker = WorkerUse::off;
    return open_device(name, options);
  });
}
