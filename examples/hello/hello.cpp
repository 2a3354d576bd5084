// The smallest guest: asks the host what it is.
#include <cstdio>

#include "driftwood/host.hpp"

int main() {
  const auto info = driftwood::guest::host_info();
  if (!info) return driftwood::guest::report(info.error());
  std::printf("Hello from a sandboxed guest. Device: %s, %u threads.\n", info->device, info->threads);
}
