// Messages between a node and its device worker, from anybody: the first byte chooses which.
#include <cstddef>
#include <cstdint>
#include <span>

#include "device/worker/graph_wire.hpp"
#include "device/worker/wire.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace driftwood;
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 6) {
    case 0: static_cast<void>(worker::decode_open_request(bytes)); break;
    case 1: static_cast<void>(worker::decode_device_info(bytes)); break;
    case 2: static_cast<void>(worker::decode_import_request(bytes)); break;
    case 3: static_cast<void>(worker::decode_import_answer(bytes)); break;
    case 4: static_cast<void>(worker::decode_run_request(bytes, bytes)); break;
    case 5: {
      const auto graph = worker::decode_graph(bytes);
      if (!graph) break;
      for (const auto& tensor : graph->tensors) {
        if (!worker::extent_of(tensor.type, tensor.ne, tensor.nb)) __builtin_trap();
      }
    }
  }
  return 0;
}
