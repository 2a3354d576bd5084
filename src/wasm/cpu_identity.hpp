// Names the processor as far as compiled code depends on it. Internal to src/wasm.
#pragma once

#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace driftwood {

/// Architecture and instruction-set extensions: the same text means that code compiled on one runs on the other.
inline std::string cpu_identity() {
#if defined(__x86_64__)
  std::string identity = "x86_64";
  const auto add = [&identity](unsigned leaf, bool with_ebx) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx) == 0) return;
    for (unsigned word : {with_ebx ? ebx : 0u, ecx, edx}) identity += " " + std::to_string(word);
  };
  add(1, false);  // its EBX holds the number of the core that asks
  add(7, true);
  add(0x80000001u, false);
  return identity;
#elif defined(__aarch64__) && defined(__linux__)
  return "aarch64 " + std::to_string(getauxval(AT_HWCAP)) + " " + std::to_string(getauxval(AT_HWCAP2));
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "other";
#endif
}

}  // namespace driftwood
