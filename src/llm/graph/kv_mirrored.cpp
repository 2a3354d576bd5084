#include "device/mirror/mirror_cache.hpp"
#include "llm/graph/kv_rows.hpp"

namespace driftwood {

MirrorCache::Request mirror_request(const KvBinding& binding) {
  const std::size_t stride = binding.layout.token_stride;
  return {.memory = binding.memory,
          .range = {binding.context_offset + binding.layout.kv_offset, binding.layout.size - binding.layout.kv_offset},
          .valid = binding.n_past * stride,
          .end = (std::size_t{binding.n_past} + binding.n_tokens) * stride,
          .records = {.stride = stride, .bytes = binding.layout.layer_offset(binding.layout.n_layer)}};
}

namespace {

class MirroredRows final : public KvRows {
 public:
  explicit MirroredRows(MirrorCache& mirrors) : mirrors_(&mirrors) {}

  Result<void> bind(Graph& graph, ggml_tensor* rows, const KvBinding& binding) override {
    hold_ = MirrorCache::Hold();
    const MirrorCache::Request request = mirror_request(binding);
    auto hold = mirrors_->prepare(request);
    if (!hold && hold.error().code == ErrorCode::out_of_memory) {
      return graph.bind(rows, *binding.memory, binding.context_offset + binding.layout.kv_offset);
    }
    DW_TRY_ASSIGN(hold_, std::move(hold));
    written_ = {request.valid, request.end - request.valid};
    return graph.bind(rows, hold_.buffer(), hold_.device(), hold_.size());
  }

  Result<void> finish(Result<void> ran) override {
    MirrorCache::Hold hold = std::move(hold_);
    return ran && hold ? hold.publish(written_.offset, written_.offset + written_.size) : ran;
  }

 private:
  MirrorCache* mirrors_;
  MirrorCache::Hold hold_;  ///< from bind to finish; none: the rows had no room, and are bound where they lie
  ByteRange written_;       ///< by the run, in the mirror
};

}  // namespace

std::unique_ptr<KvAccess> make_mirrored_kv_access(MirrorCache& mirrors) {
  return make_stock_kv_access(std::make_unique<MirroredRows>(mirrors));
}

}  // namespace driftwood
