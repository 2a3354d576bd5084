#include "llm/forward.hpp"

#include <fmt/format.h>

#include "core/bytes.hpp"
#include "llm/executor/executor.hpp"

namespace driftwood {

namespace {

// Rows of logits of a whole chunk start at places aligned for any vocabulary.
constexpr std::uint32_t kChunkMultiple = 8;

}  // namespace

struct Forward::State {
  State(std::unique_ptr<ModelPasses> made, const ForwardOptions& options)
      : passes(std::move(made)),
        executor(*passes, {.batch = {.chunk = static_cast<std::uint32_t>(align_up(options.chunk, kChunkMultiple)),
                                     // Other kernels' bits depend on where a prompt is cut, which must not be chance.
                                     .piece_layers = passes->piece_layers()},
                           .max_waiting = options.max_waiting}) {}

  std::unique_ptr<ModelPasses> passes;
  Executor executor;
};

Result<std::unique_ptr<Forward>> Forward::create(std::shared_ptr<const Model> model, const ForwardOptions& options) {
  if (options.chunk == 0 || options.chunk > kMaxChunk) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The most tokens of one pass ({}) must lie between 1 and {}.", options.chunk, kMaxChunk));
  }
  if (options.max_waiting == 0) {
    return fail(ErrorCode::invalid_argument, "The most requests that wait (0) must be at least 1.");
  }
  DW_TRY_ASSIGN(auto passes, ModelPasses::create(std::move(model), {.attention = options.attention,
                                                                    .products = options.products,
                                                                    .strict = options.strict,
                                                                    .packed_cache = options.packed_cache}));
  return std::unique_ptr<Forward>(new Forward(std::make_unique<State>(std::move(passes), options)));
}

Forward::Forward(std::unique_ptr<State> state) : state_(std::move(state)) {}
Forward::~Forward() = default;

Result<void> Forward::run(const ForwardRequest& request) { return state_->executor.run(request); }
void Forward::drop_caches() { state_->passes->drop_caches(); }
ExecutorStatistics Forward::statistics() const { return state_->executor.statistics(); }
const Model& Forward::model() const noexcept { return state_->passes->model(); }

std::uint64_t Forward::weight_bytes() const noexcept { return model().file_bytes() + state_->passes->packed_bytes(); }

}  // namespace driftwood
