#include "llm/passes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <vector>

#include "core/log.hpp"
#include "llm/decode_pass.hpp"
#include "llm/graph/graph_cache.hpp"
#include "llm/top_k.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kGraphCacheBytes = 256 * kMiB;
constexpr std::uint32_t kMinKvBucket = 256;  // tokens

bool can_fuse(const Model& model) {
  const Hyperparameters& hyperparameters = model.hyperparameters();
  return model.device().info().capabilities.host_kernels && hyperparameters.head_dim % 32 == 0 &&
         hyperparameters.head_dim <= 256;
}

template <typename Run>
Result<void> within_memory(const Run& run) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "There is no memory for a pass over the model.");
  }
}

/// Runs a pass. The device hears how it ended: decoders and mirrors are no calls of its own.
template <typename Run>
Result<void> on(Device& device, const Run& run) {
  DW_TRY(device.check_not_lost());
  auto done = within_memory(run);
  if (!done) device.note(done.error());
  return done;
}

/// What a pass over the slice means for its job.
void settle(const PassSlice& slice, const Result<void>& done) {
  if (done) {
    slice.job->advance(slice.n_tokens);
    if (slice.job->left() == 0) slice.job->commit();
  } else if (done.error().code == ErrorCode::cancelled) {
    slice.job->fail_cancelled();
  } else {
    slice.job->fail(done.error());
  }
}

}  // namespace

struct ModelPasses::State {
  /// Runs slices that can share a pass.
  Result<void> run(std::span<const PassSlice> slices);
  Result<void> run(const PassPiece& piece);
  /// What a pass over the slices reads, in the members below.
  PassInput input_of(std::span<const PassSlice> slices);
  Result<std::shared_ptr<TransformerGraph>> graph_of(const GraphShape& shape, const PassInput& input);
  void add(const PassSlice& slice);
  void add_destinations(const PassSlice& slice);
  GraphShape shape() const;
  std::unique_ptr<KvAccess> kv_access() const;
  bool long_rope(const ForwardJob& job) const;

  std::shared_ptr<const Model> model;
  bool fused = false;
  MirrorCache* mirrors = nullptr;         ///< null: attention reads imported memory
  std::unique_ptr<DecodePass> decode;     ///< null: graphs decode
  std::unique_ptr<PackedWeights> packed;  ///< null: ggml's products
  std::mutex mutex;                       ///< of a pass, and of what follows
  GraphCache graphs{kGraphCacheBytes};
  std::shared_ptr<TransformerGraph> piece_graph;  ///< of the piece that is on its way through the layers, else null
  std::uint32_t piece_parts = 0;                  ///< of that graph, that were run

  // Of the pass that is being made; kept for their memory.
  std::vector<PassSlice> order;
  std::vector<Token> tokens;
  std::vector<KvBinding> sequences;
  std::vector<std::int32_t> output_rows;
  std::vector<RowDestination> destinations;
  LogitsPlace place = LogitsPlace::bound;
};

bool ModelPasses::State::long_rope(const ForwardJob& job) const {
  const Hyperparameters& hyperparameters = model->hyperparameters();
  return hyperparameters.rope_factors == RopeFactors::by_context &&
         job.binding(0).layout.n_ctx > hyperparameters.rope_original_ctx;
}

void ModelPasses::State::add(const PassSlice& slice) {
  const auto next = slice.job->next_tokens(slice.n_tokens);
  const std::uint32_t n_outputs = slice.job->n_outputs(slice.n_tokens);
  tokens.insert(tokens.end(), next.begin(), next.end());
  sequences.push_back(slice.job->binding(slice.n_tokens));
  for (std::uint32_t i = n_outputs; i > 0; --i) output_rows.push_back(static_cast<std::int32_t>(tokens.size() - i));
  if (place == LogitsPlace::delivered) add_destinations(slice);
}

void ModelPasses::State::add_destinations(const PassSlice& slice) {
  const ForwardRequest& request = slice.job->request();
  std::byte* const into = request.memory->host() + slice.job->logits_offset();
  const std::uint32_t n_outputs = slice.job->n_outputs(slice.n_tokens);
  if (request.outputs == Outputs::top_k) {
    if (n_outputs != 0) destinations.push_back({nullptr, {reinterpret_cast<TokenLogit*>(into), request.top_k}});
    return;
  }
  for (std::uint32_t i = 0; i < n_outputs; ++i) {
    destinations.push_back({reinterpret_cast<float*>(into) + std::size_t{i} * model->hyperparameters().n_vocab, {}});
  }
}

std::unique_ptr<KvAccess> ModelPasses::State::kv_access() const {
  if (fused) return make_fused_kv_access(model->device().crew());
  return mirrors != nullptr ? make_mirrored_kv_access(*mirrors) : make_stock_kv_access();
}

GraphShape ModelPasses::State::shape() const {
  const KvBinding& first = sequences.front();
  GraphShape shape;
  shape.n_tokens = static_cast<std::uint32_t>(tokens.size());
  shape.n_outputs = static_cast<std::uint32_t>(output_rows.size());
  shape.logits = output_rows.empty() ? LogitsPlace::bound : place;
  shape.long_rope = long_rope(*order.front().job);
  if (!fused) {
    shape.kv_type = first.layout.kv_type;
    shape.kv_stride = first.layout.token_stride;
    shape.n_kv_max = std::min(first.layout.n_ctx, std::bit_ceil(std::max(kMinKvBucket, first.n_past + first.n_tokens)));
  }
  return shape;
}

PassInput ModelPasses::State::input_of(std::span<const PassSlice> slices) {
  order.assign(slices.begin(), slices.end());
  tokens.clear();
  sequences.clear();
  output_rows.clear();
  destinations.clear();
  for (const PassSlice& slice : slices) add(slice);
  return {tokens, sequences, output_rows, slices.front().job->logits_offset(), destinations};
}

Result<std::shared_ptr<TransformerGraph>> ModelPasses::State::graph_of(const GraphShape& wanted,
                                                                       const PassInput& input) {
  if (auto graph = graphs.find(wanted)) return graph;
  DW_TRY_ASSIGN(auto made, TransformerGraph::create(*model, wanted, kv_access(), packed.get(), input));
  return graphs.insert(wanted, std::move(made));
}

Result<void> ModelPasses::State::run(const PassPiece& piece) {
  const PassSlice slice{piece.job, piece.n_tokens};
  place = piece.job->request().outputs == Outputs::top_k ? LogitsPlace::delivered : LogitsPlace::bound;
  const PassInput input = input_of({&slice, 1});
  if (piece.job->piece() == 0) {
    GraphShape wanted = shape();
    wanted.by_layers = true;
    DW_TRY_ASSIGN(piece_graph, graph_of(wanted, input));
    piece_parts = 0;
  }
  const std::uint32_t layers = std::min(model->hyperparameters().n_layer, piece.job->layers_done() + piece.n_layers);
  DW_TRY_ASSIGN(piece_parts, piece_graph->run_parts(input, piece_parts, piece_graph->parts_of(layers),
                                                    piece.job->request().cancel, piece.yield));
  return {};
}

Result<void> ModelPasses::State::run(std::span<const PassSlice> slices) {
  const ForwardRequest& first = slices.front().job->request();
  const bool alone = slices.size() == 1;
  const bool top_k = first.outputs == Outputs::top_k;
  place = alone && !top_k ? LogitsPlace::bound : fused ? LogitsPlace::delivered : LogitsPlace::host;
  const PassInput input = input_of(slices);
  const GraphShape wanted = shape();
  DW_TRY_ASSIGN(const auto graph, graph_of(wanted, input));
  DW_TRY(graph->run(input, alone ? first.cancel : nullptr));
  if (wanted.logits == LogitsPlace::host) {
    auto* best = reinterpret_cast<TokenLogit*>(first.memory->host() + first.logits.offset);
    DW_TRY_ASSIGN(const std::span<const float> logits, graph->host_logits());
    select_top_k(logits, {best, first.top_k});
  }
  return {};
}

Result<std::unique_ptr<ModelPasses>> ModelPasses::create(std::shared_ptr<const Model> model,
                                                         const PassOptions& options) {
  auto state = std::make_unique<State>();
  const bool can = can_fuse(*model);
  if (options.attention == AttentionKind::fused && !can) {
    return fail(ErrorCode::unsupported,
                fmt::format("The device {} cannot run fused attention for heads of {} elements.",
                            model->device().info().name, model->hyperparameters().head_dim));
  }
  state->fused = can && options.attention != AttentionKind::stock;
  const bool host_kernels = model->device().info().capabilities.host_kernels;
  if (options.products == ProductKind::packed && !host_kernels) {
    return fail(ErrorCode::unsupported,
                fmt::format("The device {} cannot multiply by packed weights.", model->device().info().name));
  }
  if (options.products == ProductKind::stock && host_kernels && options.strict) {
    return fail(ErrorCode::invalid_argument,
                "ggml's products depend on the number of tokens in a pass; strict results need the CPU's own.");
  }
  if (options.products != ProductKind::stock && host_kernels) {
    DW_TRY_ASSIGN(state->packed,
                  PackedWeights::create(*model, options.strict ? UnpackedProducts::row_by_row : UnpackedProducts::ggml,
                                        options.packed_cache));
  }
  state->mirrors = state->fused ? nullptr : model->device().mirrors();
  if (!state->fused && options.attention != AttentionKind::stock) {
    auto decode = DecodePass::create(*model);
    if (decode) {
      state->decode = *std::move(decode);
    } else if (decode.error().code == ErrorCode::unsupported) {
      log(LogLevel::info, decode.error().to_string());
    } else if (decode.error().code == ErrorCode::out_of_memory) {
      log(LogLevel::warning,
          fmt::format("Tokens are decoded by ggml's graphs, which is slower. {}", decode.error().to_string()));
    } else {
      return std::unexpected(std::move(decode).error());
    }
  }
  state->model = std::move(model);
  return std::unique_ptr<ModelPasses>(new ModelPasses(std::move(state)));
}

ModelPasses::ModelPasses(std::unique_ptr<State> state) : state_(std::move(state)) {}
ModelPasses::~ModelPasses() = default;

Result<void> ModelPasses::start(ForwardJob& job) {
  try {
    return job.start(*state_->model);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, "There is no memory for the tokens of a forward pass.");
  }
}

void ModelPasses::run(std::span<const PassSlice> slices) {
  const std::lock_guard lock(state_->mutex);
  // What shares a graph: on devices that take one sequence at a time, each by itself.
  const auto together = [this](const PassSlice& a, const PassSlice& b) {
    return state_->fused && state_->long_rope(*a.job) == state_->long_rope(*b.job);
  };
  std::vector<PassSlice> rest(slices.begin(), slices.end());
  while (!rest.empty()) {
    DecodePass* const decode =
        state_->decode != nullptr && state_->decode->takes(rest.front()) ? state_->decode.get() : nullptr;
    auto end = std::stable_partition(rest.begin() + 1, rest.end(), [&](const PassSlice& slice) {
      return decode != nullptr ? decode->takes(slice) : together(rest.front(), slice);
    });
    if (decode != nullptr) end = std::min(end, rest.begin() + static_cast<std::ptrdiff_t>(decode->max_slices()));
    const std::span part(rest.begin(), end);
    std::size_t n = part.size();
    const auto run = [&] {
      return on(state_->model->device(), [&] {
        if (decode == nullptr) return state_->run(part);
        auto outcome = decode->run(part);
        n = outcome.n;
        return std::move(outcome.done);
      });
    };
    Result<void> done = run();
    // What computed ended in the middle. A pass writes nothing but rows beyond the Contexts' ends, and logits, before
    // it reads them: it can be run again.
    if (!done && done.error().code == ErrorCode::unavailable) done = run();
    for (const PassSlice& slice : part.first(n)) settle(slice, done);
    rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(n));
  }
}

void ModelPasses::run(const PassPiece& piece) {
  const std::lock_guard lock(state_->mutex);
  ForwardJob& job = *piece.job;
  const Result<void> done = on(state_->model->device(), [&] { return state_->run(piece); });
  if (done && state_->piece_parts < state_->piece_graph->n_parts()) {
    job.advance_layers(piece.n_tokens, state_->piece_graph->layers_of(state_->piece_parts));
  } else {
    state_->piece_graph.reset();
    settle({&job, piece.n_tokens}, done);
  }
}

void ModelPasses::give_up(const ForwardJob&) noexcept {
  const std::lock_guard lock(state_->mutex);
  state_->piece_graph.reset();
}

void ModelPasses::drop_caches() {
  const std::lock_guard lock(state_->mutex);
  state_->graphs.clear();
}

bool ModelPasses::fused() const noexcept { return state_->fused; }
std::uint32_t ModelPasses::piece_layers() const noexcept {
  return state_->fused ? state_->model->hyperparameters().n_layer : 0;
}
const Model& ModelPasses::model() const noexcept { return *state_->model; }
std::uint64_t ModelPasses::packed_bytes() const noexcept {
  return (state_->packed == nullptr ? 0 : state_->packed->bytes()) +
         (state_->decode == nullptr ? 0 : state_->decode->weight_bytes());
}

}  // namespace driftwood
