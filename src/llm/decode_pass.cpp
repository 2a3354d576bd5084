#include "llm/decode_pass.hpp"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>

#include "llm/graph/decoder_model.hpp"
#include "llm/graph/kv_access.hpp"

namespace driftwood {

Result<std::unique_ptr<DecodePass>> DecodePass::create(const Model& model) {
  DW_TRY_ASSIGN(const DecoderModel decoder_model, make_decoder_model(model));
  DW_TRY_ASSIGN(auto decoder, model.device().make_decoder(decoder_model));
  return std::unique_ptr<DecodePass>(
      new DecodePass(std::move(decoder), model.device().mirrors(), model.hyperparameters().n_vocab));
}

bool DecodePass::takes(const PassSlice& slice) const {
  const ForwardRequest& request = slice.job->request();
  if (slice.n_tokens != 1 || request.memory->region() == nullptr) return false;
  if (slice.job->binding(1).layout.kv_type != KvType::f16) return false;
  return request.outputs != Outputs::top_k || request.top_k <= decoder_->max_top_k();
}

Result<void> DecodePass::run(std::span<const PassSlice> slices) {
  DW_CHECK(slices.size() <= max_slices());
  auto done = run_rows(slices, false);
  // The second time the mirrors are looked at first, and no guest runs meanwhile.
  if (done && !*done) done = run_rows(slices, true);
  if (done) {
    // Each into memory of its own.
    std::vector<Result<void>> published(slices.size());
    crew_.run(slices.size(), [&](std::size_t i) { published[i] = publish(slices[i], i); });
    for (std::size_t i = 0; i < slices.size() && done; ++i) {
      if (published[i]) published[i] = hand_out(slices[i], i);
      if (!published[i]) done = std::unexpected(std::move(published[i]).error());
    }
  }
  holds_.clear();
  return done ? Result<void>{} : std::unexpected(std::move(done).error());
}

Result<bool> DecodePass::run_rows(std::span<const PassSlice> slices, bool checked) {
  holds_.clear();
  rows_.clear();
  std::uint32_t top_k = 0;
  for (const PassSlice& slice : slices) {
    const KvBinding kv = slice.job->binding(1);
    std::byte* records = nullptr;
    if (mirrors_ != nullptr) {
      const MirrorCache::Request request = mirror_request(kv);
      DW_TRY_ASSIGN(auto hold, checked ? mirrors_->prepare(request) : mirrors_->prepare_unchecked(request));
      records = hold.device();
      holds_.push_back(std::move(hold));
    } else {
      DW_TRY_ASSIGN(records, reach(kv));
    }
    rows_.push_back({slice.job->next_tokens(1).front(), kv.n_past, records});
    if (slice.job->n_outputs(1) != 0 && slice.job->request().outputs == Outputs::top_k) {
      top_k = std::max(top_k, slice.job->request().top_k);
    }
  }
  bool is_current = true;
  const auto look = [&] {
    if (!checked) is_current = std::ranges::all_of(holds_, [](auto& hold) { return hold.is_current(); });
  };
  DW_TRY(decoder_->run(rows_, top_k, look));
  return is_current;
}

Result<std::byte*> DecodePass::reach(const KvBinding& kv) {
  const std::size_t offset = kv.context_offset + kv.layout.kv_offset;
  const std::size_t size = kv.layout.size - kv.layout.kv_offset;
  ggml_tensor records{};
  records.type = GGML_TYPE_I8;
  records.ne[0] = static_cast<std::int64_t>(size);
  std::fill(records.ne + 1, records.ne + GGML_MAX_DIMS, 1);
  records.nb[0] = 1;
  std::fill(records.nb + 1, records.nb + GGML_MAX_DIMS, size);
  std::byte* const address = kv.memory->device_address(offset);
  // Placing an operand is what has the device reach its bytes.
  if (ggml_backend_tensor_alloc(kv.memory->buffer(), &records, address) == GGML_STATUS_SUCCESS) return address;
  return fail(ErrorCode::out_of_memory, "The device cannot reach the KV rows in the host's memory.");
}

Result<void> DecodePass::publish(const PassSlice& slice, std::size_t row) {
  if (mirrors_ == nullptr) return {};
  const KvBinding kv = slice.job->binding(1);
  return holds_[row].publish(std::size_t{kv.n_past} * kv.layout.token_stride, decoder_->record(row));
}

Result<void> DecodePass::hand_out(const PassSlice& slice, std::size_t row) {
  const ForwardRequest& request = slice.job->request();
  if (slice.job->n_outputs(1) == 0) return {};
  std::byte* const into = request.memory->host() + slice.job->logits_offset();
  if (request.outputs != Outputs::top_k) {
    return decoder_->logits(row, {reinterpret_cast<float*>(into), n_vocab_});
  }
  const auto best = decoder_->best(row).first(request.top_k);
  std::ranges::transform(best, reinterpret_cast<TokenLogit*>(into),
                         [](const Decoder::Best& one) { return TokenLogit{one.token, one.logit}; });
  return {};
}

}  // namespace driftwood
