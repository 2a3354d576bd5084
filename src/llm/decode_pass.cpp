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
  const ContextLayout& layout = slice.job->binding(1).layout;
  if (layout.kv_type != KvType::f16 || layout.version != kContextVersion) return false;
  return request.outputs != Outputs::top_k || request.top_k <= decoder_->max_top_k();
}

DecodePass::Outcome DecodePass::run(std::span<const PassSlice> slices) {
  DW_CHECK(!slices.empty() && slices.size() <= max_slices());
  rows_.clear();
  auto done = run_rows(slices);
  holds_.clear();
  return {std::max<std::size_t>(rows_.size(), 1), std::move(done)};
}

Result<void> DecodePass::run_rows(std::span<const PassSlice> slices) {
  DW_TRY_ASSIGN(const bool is_current, run_decoder(slices, false));
  // The second time the mirrors are looked at first, and no guest runs meanwhile.
  if (!is_current) DW_TRY(run_decoder(slices, true));
  // Each into memory of its own.
  std::vector<Result<void>> published(rows_.size());
  crew_.run(rows_.size(), [&](std::size_t i) { published[i] = publish(slices[i], i); });
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    DW_TRY(std::move(published[i]));
    DW_TRY(hand_out(slices[i], i));
  }
  return {};
}

Result<void> DecodePass::take_rows(std::span<const PassSlice> slices, bool checked) {
  rows_.clear();
  holds_.clear();
  for (const PassSlice& slice : slices) {
    const KvBinding kv = slice.job->binding(1);
    auto records = records_of(kv, checked);
    if (!records && rows_.empty()) return std::unexpected(std::move(records).error());
    // When those before have let go of what they hold, it is the first one, and has what room there is.
    if (!records) break;
    rows_.push_back({slice.job->next_tokens(1).front(), kv.n_past, *records});
  }
  return {};
}

Result<bool> DecodePass::run_decoder(std::span<const PassSlice> slices, bool checked) {
  DW_TRY(take_rows(slices, checked));
  std::uint32_t top_k = 0;
  for (const PassSlice& slice : slices.first(rows_.size())) {
    if (slice.job->n_outputs(1) != 0 && slice.job->request().outputs == Outputs::top_k) {
      top_k = std::max(top_k, slice.job->request().top_k);
    }
  }
  bool is_current = true;
  const auto look = [&] {
    if (!checked) is_current = std::ranges::all_of(holds_, [](auto& hold) { return !hold || hold.is_current(); });
  };
  auto done = decoder_->run(rows_, top_k, look);
  // What a step needs beside the rows grows with its longest one, which is not to fail the others.
  while (!done && done.error().code == ErrorCode::out_of_memory && rows_.size() > 1) {
    rows_.resize(rows_.size() / 2);
    holds_.resize(rows_.size());
    done = decoder_->run(rows_, top_k, look);
  }
  DW_TRY(std::move(done));
  return is_current;
}

Result<std::byte*> DecodePass::records_of(const KvBinding& kv, bool checked) {
  MirrorCache::Hold& hold = holds_.emplace_back();
  if (mirrors_ == nullptr) return reach(kv);
  const MirrorCache::Request request = mirror_request(kv);
  auto held = checked ? mirrors_->prepare(request) : mirrors_->prepare_unchecked(request);
  // Only a Context that has no room by itself: to have the device reach its pages ends their sharing with an Image.
  if (!held && held.error().code == ErrorCode::out_of_memory && rows_.empty()) return reach(kv);
  DW_TRY_ASSIGN(hold, std::move(held));
  return hold.device();
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
  if (!holds_[row]) return {};
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
