// What this machine and this build are made of. Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "console.hpp"
#include "core/error.hpp"

namespace driftwood::cli {

/// Bytes of this process's memory that lie in RAM.
Result<std::uint64_t> resident_bytes();

struct Machine {
  std::string system;                     ///< "Linux 6.1.0 x86_64"
  std::string processor;                  ///< its own name, empty where it is not told
  unsigned cores = 0;                     ///< that this process may use
  std::vector<std::string> cpu_features;  ///< that the matrix kernels were built for
  std::string huge_pages;                 ///< the system's setting for memory files; empty where there is none
};
Machine examine_machine();

struct Versions {
  std::string driftwood;
  std::string wasmtime;
  std::string ggml;
  int abi = 0;
};
Versions versions();
Json to_json(const Versions& versions);
Json to_json(const Machine& machine);

}  // namespace driftwood::cli
