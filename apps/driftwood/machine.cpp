#include "machine.hpp"

#include <ggml-backend.h>
#include <ggml.h>
#include <sys/utsname.h>
#include <wasmtime.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#define DW_HOST
#include "driftwood.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#else
#include <sched.h>
#endif

namespace driftwood::cli {
namespace {

/// The value behind "name:" in a file of such lines.
std::string field_of(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return {};
}

/// "always within_size [advise] never" -> "advise".
std::string chosen_of(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  const std::size_t start = line.find('[');
  const std::size_t end = line.find(']');
  return start == std::string::npos || end == std::string::npos ? std::string()
                                                                : line.substr(start + 1, end - start - 1);
}

#if defined(__APPLE__)
std::string processor_name() {
  char name[256] = {};
  std::size_t size = sizeof(name) - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "";
}
unsigned usable_cores() { return std::thread::hardware_concurrency(); }
#else
std::string processor_name() { return field_of("/proc/cpuinfo", "model name"); }
unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return std::thread::hardware_concurrency();
  return static_cast<unsigned>(CPU_COUNT(&set));
}
#endif

std::vector<std::string> kernel_features() {
  std::vector<std::string> names;
  ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
  if (cpu == nullptr) return names;
  const auto features = reinterpret_cast<ggml_backend_get_features_t>(
      ggml_backend_reg_get_proc_address(cpu, "ggml_backend_get_features"));
  if (features == nullptr) return names;
  for (const ggml_backend_feature* feature = features(cpu); feature->name != nullptr; ++feature) {
    if (std::string_view(feature->value) == "1") names.emplace_back(feature->name);
  }
  return names;
}

}  // namespace

#if defined(__APPLE__)
Result<std::uint64_t> resident_bytes() {
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count) != KERN_SUCCESS) {
    return fail(ErrorCode::unavailable, "The system does not tell this process's resident memory.");
  }
  return info.resident_size;
}
#else
Result<std::uint64_t> resident_bytes() {
  // /proc/self/statm is kept in batches for each thread; smaps_rollup counts the pages.
  std::istringstream rollup(field_of("/proc/self/smaps_rollup", "Rss"));
  std::uint64_t kilobytes = 0;
  if (rollup >> kilobytes) return kilobytes * 1024;
  std::istringstream status(field_of("/proc/self/status", "VmRSS"));
  if (status >> kilobytes) return kilobytes * 1024;
  return fail(ErrorCode::unavailable, "The system does not tell this process's resident memory.");
}
#endif

Machine examine_machine() {
  Machine machine;
  utsname names{};
  if (uname(&names) == 0) {
    machine.system = std::string(names.sysname) + " " + names.release + " " + names.machine;
  }
  machine.processor = processor_name();
  machine.cores = usable_cores();
  machine.cpu_features = kernel_features();
  machine.huge_pages = chosen_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  return machine;
}

Versions versions() { return {DRIFTWOOD_VERSION, WASMTIME_VERSION, ggml_version(), DW_ABI_VERSION}; }

Json to_json(const Versions& versions) {
  return {{"driftwood", versions.driftwood},
          {"wasmtime", versions.wasmtime},
          {"ggml", versions.ggml},
          {"guest_abi", versions.abi}};
}

Json to_json(const Machine& machine) {
  return {{"system", machine.system},
          {"processor", machine.processor},
          {"cores", machine.cores},
          {"cpu_features", machine.cpu_features},
          {"huge_pages", machine.huge_pages}};
}

}  // namespace driftwood::cli
