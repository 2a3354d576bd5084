// What `driftwood doctor` finds out. Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace driftwood::cli {

/// One link of the chain on its own; `problem` is a sentence where it is not ok.
struct LinkReport {
  bool ok = false;
  std::string problem;
};

struct WasmReport : LinkReport {
  bool same_pointer = false;  ///< loads and stores of the guest are those of the Region, also after it grew
};

/// Guest, device and host over one memory.
struct ChainReport : LinkReport {
  static constexpr int kN = 128;
  int errors = kN * kN;       ///< elements of the product that the guest finds wrong
  bool same_pointer = false;  ///< guest, device and host name the same address
  std::string sharing;
  std::uint64_t bytes_copied = 0;
  double host_call_us = 0;    ///< the cheapest host call, by the guest
  double gemm_guest_us = 0;   ///< through the guest ABI
  double gemm_native_us = 0;  ///< the same product over the same bytes, called by the host
};

/// A device on its own, and the chain with it.
struct DeviceReport : LinkReport {
  std::string name;
  std::string note;           ///< what its user should know; mostly empty
  std::string sharing;        ///< of an imported Region
  bool same_pointer = false;  ///< the device's tensors have the Region's own addresses
  bool in_worker = false;     ///< a process of its own computed
  ChainReport chain;
};

/// A device that is there and cannot be used, or a kind that is not there; no fault of the chain's.
struct UnusableDevice {
  std::string name;
  std::string why;
  std::string note;  ///< what its user should know; mostly empty
};

/// Growth of the resident set for a range of 16 MiB, in 10^6 bytes.
struct RssReport : LinkReport {
  double import_mb = 0;
  double copy_mb = 0;
};

struct DoctorReport {
  LinkReport memory;
  std::vector<DeviceReport> devices;
  std::vector<UnusableDevice> unusable;
  WasmReport wasm;
  ChainReport chain;
  RssReport rss;

  bool ok() const noexcept {
    bool all = memory.ok && wasm.ok && chain.ok && rss.ok && !devices.empty();
    for (const DeviceReport& device : devices) all = all && device.ok;
    return all;
  }
};

}  // namespace driftwood::cli
