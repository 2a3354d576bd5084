#include "benchmark.hpp"

namespace driftwood::bench {

Result<Report> run_gpu(const Options&) {
  return fail(ErrorCode::unavailable, "This build has no CUDA device: build with the preset cuda.");
}

}  // namespace driftwood::bench
