#include "llm/forward.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <vector>

#include "llm/graph/graph_cache.hpp"
#include "llm/top_k.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kLogitsAlignment = 32;
constexpr std::size_t kContextAlignment = 4096;
constexpr std::size_t kGraphCacheBytes = 256 * kMiB;
constexpr std::uint32_t kMinKvBucket = 256;  // tokens
// Rows of logits of a whole chunk start at aligned places whatever the vocabulary.
constexpr std::uint32_t kChunkMultiple = kLogitsAlignment / sizeof(float);

Result<void> check_memory(const ForwardRequest& request) {
  if (request.memory == nullptr || !*request.memory) {
    return fail(ErrorCode::invalid_argument, "A forward pass needs the memory that its Context lies in.");
  }
  const std::size_t limit = request.memory->size();
  if (!request.context.within(limit)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The Context ({} bytes at {}) does not lie in memory ({} bytes).", request.context.size,
                            request.context.offset, limit));
  }
  if (!is_aligned(request.context.offset, kContextAlignment)) {
    return fail(ErrorCode::invalid_argument, fmt::format("The Context's place ({}) is not a multiple of {}.",
                                                         request.context.offset, kContextAlignment));
  }
  return {};
}

Result<void> check_tokens(std::span<const Token> tokens, const CheckedContext& context, std::uint32_t n_vocab) {
  if (tokens.empty()) return fail(ErrorCode::invalid_argument, "A forward pass needs at least one token.");
  const std::uint32_t left = context.layout.n_ctx - context.n_tokens;
  if (tokens.size() > left) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} tokens do not fit: the Context holds {} of {}, so {} more can follow.", tokens.size(),
                            context.n_tokens, context.layout.n_ctx, left));
  }
  const auto outside = std::ranges::find_if(
      tokens, [n_vocab](Token token) { return token < 0 || static_cast<std::uint32_t>(token) >= n_vocab; });
  if (outside != tokens.end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("Token {} at position {} is outside the vocabulary (0 to {}).",
                                                         *outside, outside - tokens.begin(), n_vocab - 1));
  }
  return {};
}

/// Bytes of logits that a request asks for.
std::size_t logits_size(const ForwardRequest& request, std::uint32_t n_vocab) noexcept {
  const std::size_t row = std::size_t{n_vocab} * sizeof(float);
  switch (request.outputs) {
    case Outputs::none: return 0;
    case Outputs::last: return row;
    case Outputs::all: return row * request.tokens.size();
    case Outputs::top_k: return std::size_t{request.top_k} * sizeof(TokenLogit);
  }
  return 0;
}

Result<void> check_logits(const ForwardRequest& request, std::uint32_t n_vocab) {
  if (request.outputs == Outputs::none) return {};
  if (request.outputs == Outputs::top_k && (request.top_k == 0 || request.top_k > n_vocab)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The number of logits wanted (top_k {}) must lie between 1 and {}.", request.top_k, n_vocab));
  }
  const std::size_t needed = logits_size(request, n_vocab);
  if (request.logits.size < needed) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The logits take {} bytes; the range given has {}.", needed, request.logits.size));
  }
  if (!request.logits.within(request.memory->size())) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The logits ({} bytes at {}) do not lie in memory ({} bytes).", request.logits.size,
                            request.logits.offset, request.memory->size()));
  }
  if (!is_aligned(request.logits.offset, kLogitsAlignment)) {
    return fail(ErrorCode::invalid_argument, fmt::format("The logits' place ({}) is not a multiple of {}.",
                                                         request.logits.offset, kLogitsAlignment));
  }
  if (request.logits.overlaps(request.context)) {
    return fail(ErrorCode::invalid_argument, "The logits lie in the Context.");
  }
  return {};
}

bool can_fuse(const Model& model) {
  const Hyperparameters& hyperparameters = model.hyperparameters();
  return model.device().info().capabilities.host_kernels && hyperparameters.head_dim % 32 == 0 &&
         hyperparameters.head_dim <= 256;
}

}  // namespace

struct Forward::State {
  State(std::shared_ptr<const Model> opened, const ForwardOptions& given, bool use_fused,
        std::unique_ptr<PackedWeights> packed_weights)
      : model(std::move(opened)),
        chunk(static_cast<std::uint32_t>(align_up(given.chunk, kChunkMultiple))),
        fused(use_fused),
        packed(std::move(packed_weights)) {}

  Result<void> run(const ForwardRequest& request);
  Result<TransformerGraph*> graph_for(const GraphShape& shape, const KvBinding& kv, std::size_t logits_offset);
  GraphShape shape_of(std::uint32_t n_tokens, OutputRows rows, const KvBinding& kv, bool host_logits) const;

  std::shared_ptr<const Model> model;
  std::uint32_t chunk;
  bool fused;
  std::unique_ptr<PackedWeights> packed;  ///< null: ggml's products
  std::mutex mutex;
  GraphCache graphs{kGraphCacheBytes};
  std::vector<Token> tokens;  ///< the request's, copied: nothing can change them after the check
};

GraphShape Forward::State::shape_of(std::uint32_t n_tokens, OutputRows rows, const KvBinding& kv,
                                    bool host_logits) const {
  const Hyperparameters& hyperparameters = model->hyperparameters();
  GraphShape shape;
  shape.n_tokens = n_tokens;
  shape.rows = rows;
  shape.kv_type = kv.layout.kv_type;
  shape.long_rope =
      hyperparameters.rope_factors == RopeFactors::by_context && kv.layout.n_ctx > hyperparameters.rope_original_ctx;
  shape.host_logits = host_logits && rows != OutputRows::none;
  if (!fused) {
    shape.n_kv_max = std::min(kv.layout.n_ctx, std::bit_ceil(std::max(kMinKvBucket, kv.n_past + n_tokens)));
  }
  return shape;
}

Result<TransformerGraph*> Forward::State::graph_for(const GraphShape& shape, const KvBinding& kv,
                                                    std::size_t logits_offset) {
  if (TransformerGraph* graph = graphs.find(shape)) return graph;
  DW_TRY_ASSIGN(auto graph,
                TransformerGraph::create(*model, shape, fused ? make_fused_kv_access() : make_stock_kv_access(),
                                         packed.get(), kv, logits_offset));
  return graphs.insert(shape, std::move(graph));
}

Result<void> Forward::State::run(const ForwardRequest& request) {
  const std::uint32_t n_vocab = model->hyperparameters().n_vocab;
  DW_TRY(check_memory(request));
  const std::span<std::byte> context_bytes(request.memory->host() + request.context.offset, request.context.size);
  DW_TRY_ASSIGN(const CheckedContext context, check_context(context_bytes, model->hyperparameters(), model->hash()));
  tokens.assign(request.tokens.begin(), request.tokens.end());
  DW_TRY(check_tokens(tokens, context, n_vocab));
  DW_TRY(check_logits(request, n_vocab));

  const auto n_all = static_cast<std::uint32_t>(tokens.size());
  const bool top_k = request.outputs == Outputs::top_k;
  KvBinding kv{request.memory, request.context.offset, context.layout, context.n_tokens, 0};
  for (std::uint32_t done = 0; done < n_all;) {
    if (request.cancel != nullptr && request.cancel->load(std::memory_order_relaxed)) {
      return fail(ErrorCode::cancelled,
                  fmt::format("The forward pass was cancelled after {} of {} tokens.", done, n_all));
    }
    const std::uint32_t n = std::min(chunk, n_all - done);
    const bool is_last = done + n == n_all;
    kv.n_tokens = n;
    OutputRows rows = is_last && request.outputs != Outputs::none ? OutputRows::last : OutputRows::none;
    std::size_t logits_offset = request.logits.offset;
    if (request.outputs == Outputs::all) {
      rows = OutputRows::all;
      logits_offset += std::size_t{done} * n_vocab * sizeof(float);
    }
    DW_TRY_ASSIGN(TransformerGraph * graph, graph_for(shape_of(n, rows, kv, top_k), kv, logits_offset));
    DW_TRY(graph->run(std::span(tokens).subspan(done, n), kv, logits_offset, request.cancel));
    if (is_last && top_k) {
      auto* best = reinterpret_cast<TokenLogit*>(request.memory->host() + request.logits.offset);
      select_top_k(graph->host_logits(), {best, request.top_k});
    }
    done += n;
    kv.n_past += n;
    if (request.progress) request.progress(done, n_all);
  }
  set_context_tokens(context_bytes, kv.n_past);
  return {};
}

Result<std::unique_ptr<Forward>> Forward::create(std::shared_ptr<const Model> model, const ForwardOptions& options) {
  if (options.chunk == 0 || options.chunk > kMaxChunk) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The most tokens of one pass ({}) must lie between 1 and {}.", options.chunk, kMaxChunk));
  }
  const bool can = can_fuse(*model);
  if (options.attention == AttentionKind::fused && !can) {
    return fail(ErrorCode::unsupported,
                fmt::format("The device {} cannot run fused attention for heads of {} elements.",
                            model->device().info().name, model->hyperparameters().head_dim));
  }
  const bool fused = options.attention != AttentionKind::stock && can;
  const bool host_kernels = model->device().info().capabilities.host_kernels;
  if (options.products == ProductKind::packed && !host_kernels) {
    return fail(ErrorCode::unsupported,
                fmt::format("The device {} cannot multiply by packed weights.", model->device().info().name));
  }
  std::unique_ptr<PackedWeights> packed;
  if (options.products != ProductKind::stock && host_kernels) {
    DW_TRY_ASSIGN(packed, PackedWeights::create(*model));
  }
  return std::unique_ptr<Forward>(
      new Forward(std::make_unique<State>(std::move(model), options, fused, std::move(packed))));
}

Forward::Forward(std::unique_ptr<State> state) : state_(std::move(state)) {}
Forward::~Forward() = default;

Result<void> Forward::run(const ForwardRequest& request) {
  const std::lock_guard lock(state_->mutex);
  return state_->run(request);
}

void Forward::drop_caches() {
  const std::lock_guard lock(state_->mutex);
  state_->graphs.clear();
}

const Model& Forward::model() const noexcept { return *state_->model; }

std::uint64_t Forward::weight_bytes() const noexcept {
  return state_->model->file_bytes() + (state_->packed == nullptr ? 0 : state_->packed->bytes());
}

}  // namespace driftwood
