// Runs graphs on host threads with ggml's CPU kernels: a thread pool that stays,
// and work memory that grows to the largest graph seen.
//
// One thread at a time may call compute(); it computes along with the pool.
#pragma once

#include <ggml-cpu.h>
#include <ggml.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/error.hpp"
#include "core/handle.hpp"

namespace driftwood {

class GraphExecutor {
 public:
  /// `threads` in 1 to GGML_MAX_N_THREADS, the caller of compute() among them.
  static Result<std::unique_ptr<GraphExecutor>> create(int threads);

  /// cancelled: `*cancel` became true between two operators; out_of_memory: for work memory.
  Result<void> compute(ggml_cgraph* graph, const std::atomic<bool>* cancel);

 private:
  struct FreeAligned {
    void operator()(std::byte* bytes) const noexcept;
  };

  GraphExecutor() = default;
  Result<void> reserve_work(std::size_t size);

  Handle<ggml_threadpool, ggml_threadpool_free> pool_;
  std::unique_ptr<std::byte, FreeAligned> work_;
  std::size_t work_size_ = 0;
  int threads_ = 1;
};

}  // namespace driftwood
