#include "private_memory.hpp"

#include <fstream>
#include <string>

namespace driftwood::bench {

Result<double> private_bytes() {
  std::ifstream status("/proc/self/status");
  double kilobytes = 0;
  bool found = false;
  for (std::string line; std::getline(status, line);) {
    for (const char* field : {"RssAnon:", "RssShmem:", "VmSwap:", "VmPTE:"}) {
      if (!line.starts_with(field)) continue;
      kilobytes += std::stod(line.substr(std::string(field).size()));
      found = true;
    }
  }
  if (!found) return fail(ErrorCode::unsupported, "This system does not tell a process's private memory.");
  return kilobytes * 1024;
}

}  // namespace driftwood::bench
