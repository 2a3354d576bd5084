#include "device/cpu/graph_executor.hpp"

#include <fmt/format.h>

#include <new>

#include "device/ggml_status.hpp"
#include "device/graph.hpp"

namespace driftwood {
namespace {

constexpr std::align_val_t kWorkAlignment{64};

/// How long an idle thread of the pool spins before it sleeps, in ggml's unit (0 to 100), 3 to 6 ms each: long
/// enough for a guest to sample the next token, short enough to leave an idle machine alone.
constexpr std::uint32_t kPollLevel = 1;

/// How long the crew and the thread that it helps look for each other before they sleep.
constexpr std::chrono::milliseconds kPatience{4};

/// Elements: a row for each of eight tokens, in a model of some billions of weights.
constexpr std::int64_t kLittle = std::int64_t{32} * 1024;

/// Whether ggml's own operators have so little to do that sharing it would cost more.
bool is_little(ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_CUSTOM: return true;
    case GGML_OP_GET_ROWS:
    case GGML_OP_ROPE:
    case GGML_OP_ADD:
    case GGML_OP_MUL:
    case GGML_OP_SCALE:
    case GGML_OP_RMS_NORM:
    case GGML_OP_NORM:
    case GGML_OP_GLU:
    case GGML_OP_UNARY:
    case GGML_OP_CONT: return ggml_nelements(node) <= kLittle;
    default: return !is_computed(node);
  }
}

bool runs_alone(ggml_cgraph* graph) {
  bool asks_for_help = false;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    ggml_tensor* node = ggml_graph_node(graph, i);
    if (!is_little(node)) return false;
    asks_for_help = asks_for_help || node->op == GGML_OP_CUSTOM;
  }
  return asks_for_help;
}

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
  DW_TRY_ASSIGN(executor->pool_, make_pool(threads));
  DW_TRY_ASSIGN(executor->alone_, make_pool(1));
  executor->crew_ = std::make_unique<Crew>(static_cast<unsigned>(threads) - 1, kPatience);
  return executor;
}

Result<GraphExecutor::Pool> GraphExecutor::make_pool(int threads) {
  ggml_threadpool_params parameters = ggml_threadpool_params_default(threads);
  parameters.poll = kPollLevel;
  Pool pool(ggml_threadpool_new(&parameters));
  if (pool != nullptr) return pool;
  return fail(ErrorCode::out_of_memory, fmt::format("The system refused a pool of {} threads.", threads));
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

void GraphExecutor::rest_pool() noexcept {
  if (!pool_rests_) ggml_threadpool_pause(pool_.get());  // the next graph that it computes wakes it
  pool_rests_ = true;
}

void GraphExecutor::rest() noexcept {
  crew_->rest();
  rest_pool();
}

// ggml's CPU backend would do the same, but is left with a freed work buffer when the larger one cannot be had.
Result<void> GraphExecutor::compute(ggml_cgraph* graph, const std::atomic<bool>* cancel) {
  const bool alone = runs_alone(graph);
  if (alone) {
    rest_pool();
  } else {
    crew_->rest();
    pool_rests_ = false;
  }
  ggml_cplan plan = alone ? ggml_graph_plan(graph, 1, alone_.get()) : ggml_graph_plan(graph, threads_, pool_.get());
  DW_TRY(reserve_work(plan.work_size));
  plan.work_data = reinterpret_cast<std::uint8_t*>(work_.get());
  if (cancel != nullptr) {
    plan.abort_callback = is_cancelled;
    plan.abort_callback_data = const_cast<std::atomic<bool>*>(cancel);
  }
  return result_of(ggml_graph_compute(graph, &plan));
}

}  // namespace driftwood
