// A pass by the device's own decoder: the next token of each of some jobs. Threads as Passes.
#pragma once

#include <memory>
#include <span>

#include "core/crew.hpp"
#include "core/error.hpp"
#include "device/decoder.hpp"
#include "device/mirror/mirror_cache.hpp"
#include "llm/forward_job.hpp"
#include "model/model.hpp"

namespace driftwood {

class DecodePass {
 public:
  /// unsupported: the device has no decoder, or none for this model; out_of_memory: no room for its weights.
  static Result<std::unique_ptr<DecodePass>> create(const Model& model);

  /// Whether a pass can take the slice.
  bool takes(const PassSlice& slice) const;
  std::size_t max_slices() const noexcept { return decoder_->max_rows(); }
  /// Runs slices that it takes, at most max_slices(). Their jobs are not advanced. Device errors.
  Result<void> run(std::span<const PassSlice> slices);

  std::uint64_t weight_bytes() const noexcept { return decoder_->bytes(); }

 private:
  DecodePass(std::unique_ptr<Decoder> decoder, MirrorCache* mirrors, std::uint32_t n_vocab)
      : decoder_(std::move(decoder)), mirrors_(mirrors), n_vocab_(n_vocab) {}

  /// Runs over the mirrors as they are; false: a guest wrote to one, and the results are void.
  Result<bool> run_rows(std::span<const PassSlice> slices, bool checked);
  /// The device's address of a Context's records; they stay where they lie.
  static Result<std::byte*> reach(const KvBinding& kv);
  Result<void> publish(const PassSlice& slice, std::size_t row);
  Result<void> hand_out(const PassSlice& slice, std::size_t row);

  std::unique_ptr<Decoder> decoder_;
  MirrorCache* mirrors_;  ///< null: KV records are read where they lie
  std::uint32_t n_vocab_;
  Crew crew_{7};
  std::vector<MirrorCache::Hold> holds_;  ///< of the pass
  std::vector<Decoder::Row> rows_;
};

}  // namespace driftwood
