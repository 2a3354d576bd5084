// KV rows that both sides read over the bus: libllama's cache is made to lie in a registered memory file.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <map>

#include "core/clock.hpp"
#include "gpu.hpp"
#include "memory/memory_file.hpp"

namespace {

/// While it is on, what is allocated on the device lies in the host's memory instead.
bool divert = false;
std::map<void*, std::size_t>& diverted() {
  static std::map<void*, std::size_t> blocks;
  return blocks;
}

}  // namespace

// The module's calls come here: a program's own symbols are found before its libraries'.
extern "C" cudaError_t cudaMalloc(void** at, std::size_t size) {
  static const auto real = reinterpret_cast<decltype(&cudaMalloc)>(dlsym(RTLD_NEXT, "cudaMalloc"));
  if (!divert) return real(at, size);
  auto file = driftwood::MemoryFile::create(driftwood::align_up(size, 4096));
  if (!file) return cudaErrorMemoryAllocation;
  void* mapped = mmap(nullptr, (*file)->size(), PROT_READ | PROT_WRITE, MAP_SHARED, (*file)->fd(), 0);
  if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
  const cudaError_t status = cudaHostRegister(mapped, (*file)->size(), cudaHostRegisterMapped);
  if (status != cudaSuccess) return status;
  diverted().emplace(mapped, (*file)->size());
  *at = mapped;
  return cudaSuccess;
}

extern "C" cudaError_t cudaFree(void* at) {
  static const auto real = reinterpret_cast<decltype(&cudaFree)>(dlsym(RTLD_NEXT, "cudaFree"));
  const auto found = diverted().find(at);
  if (found == diverted().end()) return real(at);
  cudaHostUnregister(at);
  munmap(at, found->second);
  diverted().erase(found);
  return cudaSuccess;
}

namespace driftwood::bench {

Result<void> measure_gpu_mapped(GpuBench& bench) {
  constexpr std::uint32_t kTokens = 4096;
  constexpr std::uint32_t kSlice = 16;
  constexpr Rounds kRounds{.warm_up = 1, .at_most = 9, .at_least = 3, .seconds = 8};
  DW_TRY_ASSIGN(auto host, SessionHost::create(bench.model, bench.device, {.mirror_budget = 0}, session_top_k_guest()));
  DW_TRY_ASSIGN(auto session, Session::start(*host, kTokens + 256));
  DW_TRY(session->append(bench.text(0, kTokens)));
  divert = true;
  auto peer = GpuPeer::create(bench.peer_model, {.n_ctx = kTokens + 256});
  divert = false;
  if (!peer) return std::unexpected(std::move(peer).error());
  if (diverted().empty()) return fail(ErrorCode::internal, "libllama's cache could not be made to lie in host memory.");
  DW_TRY((*peer)->append(bench.text(0, kTokens)));
  const Measurement sides[] = {[&]() -> Result<double> {
                                 const Stopwatch watch;
                                 DW_TRY(session->generate(kSlice));
                                 const double us = watch.elapsed_us() / kSlice;
                                 DW_TRY(session->rewind(kTokens));
                                 return us;
                               },
                               [&]() -> Result<double> {
                                 const Stopwatch watch;
                                 for (std::uint32_t i = 0; i < kSlice; ++i) {
                                   DW_TRY((*peer)->append(bench.text(kTokens + i, 1)));
                                 }
                                 const double us = watch.elapsed_us() / kSlice;
                                 DW_TRY((*peer)->rewind(kTokens));
                                 return us;
                               }};
  DW_TRY_ASSIGN(const auto us, interleave(sides, kRounds));
  bench.add_ratio(
      "mapped_kv_ratio", us[1], us[0], 1.0,
      "libllama's decode after 4,096 tokens with its KV (and scratch memory) in a registered memory file, no "
      "look at the logits / a guest's decode with its KV read where it lies, the token picked");
  return {};
}

}  // namespace driftwood::bench
