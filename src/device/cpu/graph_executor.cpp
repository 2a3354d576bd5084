#include "device/cpu/graph_executor.hpp"

#include <fmt/format.h>

#include <new>

#include "device/ggml_status.hpp"

namespace driftwood {
namespace {

constexpr std::align_val_t kWorkAlignment{64};

/// How long an idle thread of the pool spins before it sleeps, in ggml's unit (0 to 100), 3 to 6 ms each: long
/// enough for a guest to sample the next token, short enough to leave an idle machine alone.
constexpr std::uint32_t kPollLevel = 1;

bool is_cancelled(void* cancel) {
  return static_cast<const std::atomic<bool>*>(cancel)->load(std::memory_order_relaxed);
}

}  // namespace

void GraphExecutor::FreeAligned::operator()(std::byte* bytes) const noexcept {
  ::operator delete(bytes, kWorkAlignment);
}

Result<std::unique_ptr<GraphExecutor>> GraphExecutor::create(int threads) {
  if (threads < 1 || threads > GGML_MAX_N_THREADS) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("Number of threads ({}) is not in 1 to {}.", threads, GGML_MAX_N_THREADS));
  }
  ggml_cpu_init();
  std::unique_ptr<GraphExecutor> executor(new GraphExecutor());
  executor->threads_ = threads;
  ggml_threadpool_params parameters = ggml_threadpool_params_default(threads);
  parameters.poll = kPollLevel;
  executor->pool_.reset(ggml_threadpool_new(&parameters));
  if (executor->pool_ == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("The system refused a pool of {} threads.", threads));
  }
  return executor;
}

Result<void> GraphExecutor::reserve_work(std::size_t size) {
  if (size <= work_size_) return {};
  work_.reset();
  work_size_ = 0;
  work_.reset(static_cast<std::byte*>(::operator new(size, kWorkAlignment, std::nothrow)));
  if (work_ == nullptr) {
    return fail(ErrorCode::out_of_memory, fmt::format("There are no {} bytes for the work memory of a graph.", size));
  }
  work_size_ = size;
  return {};
}

// ggml's CPU backend would do the same, but is left with a freed work buffer when the larger one cannot be had.
Result<void> GraphExecutor::compute(ggml_cgraph* graph, const std::atomic<bool>* cancel) {
  ggml_cplan plan = ggml_graph_plan(graph, threads_, pool_.get());
  DW_TRY(reserve_work(plan.work_size));
  plan.work_data = reinterpret_cast<std::uint8_t*>(work_.get());
  if (cancel != nullptr) {
    plan.abort_callback = is_cancelled;
    plan.abort_callback_data = const_cast<std::atomic<bool>*>(cancel);
  }
  return result_of(ggml_graph_compute(graph, &plan));
}

}  // namespace driftwood
