// Runs graphs on host threads with ggml's CPU kernels: a thread pool that stays,
// and work memory that grows to the largest graph seen.
//
// ggml's pool has every thread wait for every other after each operator, by spinning. A
// graph in which ggml's own operators have next to nothing to do is run by the calling
// thread instead, and our operators ask a crew for help: the decoding of some tokens then
// waits at a third of its operators, and for nobody whose core is taken by others' work.
//
// One thread at a time may call compute() and rest(); it computes along with the pool.
#pragma once

#include <ggml-cpu.h>
#include <ggml.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/crew.hpp"
#include "core/error.hpp"
#include "core/handle.hpp"

namespace driftwood {

class GraphExecutor {
 public:
  /// `threads` in 1 to GGML_MAX_N_THREADS, the caller of compute() among them.
  static Result<std::unique_ptr<GraphExecutor>> create(int threads);

  /// cancelled: `*cancel` became true between two operators; out_of_memory: for work memory.
  Result<void> compute(ggml_cgraph* graph, const std::atomic<bool>* cancel);

  /// Threads that look for work sleep now.
  void rest() noexcept;

  /// Who helps operators that one thread runs.
  Crew& crew() noexcept { return *crew_; }

 private:
  struct FreeAligned {
    void operator()(std::byte* bytes) const noexcept;
  };

  GraphExecutor() = default;
  Result<void> reserve_work(std::size_t size);
  void rest_pool() noexcept;

  using Pool = Handle<ggml_threadpool, ggml_threadpool_free>;
  static Result<Pool> make_pool(int threads);

  Pool pool_;
  Pool alone_;  ///< the calling thread
  std::unique_ptr<Crew> crew_;
  bool pool_rests_ = false;
  std::unique_ptr<std::byte, FreeAligned> work_;
  std::size_t work_size_ = 0;
  int threads_ = 1;
};

}  // namespace driftwood
