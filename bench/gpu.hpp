// What the parts of the benchmark gpu share. One thread, but for the actors of a batch.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "benchmark.hpp"
#include "gpu_peer.hpp"
#include "interleave.hpp"
#include "session.hpp"

namespace driftwood::bench {

inline constexpr std::uint32_t kGpuCtx = 6144;

struct GpuBench {
  std::filesystem::path model;
  std::string device;  ///< "cuda:0"
  int number = 0;      ///< of the device
  bool short_run = false;
  std::unique_ptr<SessionHost> host;
  std::shared_ptr<const GpuPeerModel> peer_model;
  std::vector<Token> tokens;
  Report report{"gpu"};

  std::span<const Token> text(std::size_t first, std::size_t count) const {
    return std::span(tokens).subspan(first, count);
  }
  /// libllama's time over Driftwood's.
  void add_ratio(std::string name, const std::vector<double>& theirs, const std::vector<double>& ours,
                 std::optional<double> goal, std::string counts);
  /// A part that failed is named with its reason, and the others go on.
  void run_part(const char* name, Result<void> (*part)(GpuBench& bench));
};

// Each adds its figures to the report.
Result<void> measure_gpu_correctness(GpuBench& bench);
Result<void> measure_gpu_decode(GpuBench& bench);
Result<void> measure_gpu_prefill(GpuBench& bench);
Result<void> measure_gpu_batch(GpuBench& bench);
Result<void> measure_gpu_state(GpuBench& bench);
Result<void> measure_gpu_mapped(GpuBench& bench);
Result<void> measure_gpu_memory(GpuBench& bench);
Result<void> measure_gpu_gemm(GpuBench& bench);

}  // namespace driftwood::bench
