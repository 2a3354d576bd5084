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
  /// How a run ended for the first `n` slices. The others wait for another: the device has no room for their rows
  /// beside those of the first ones, or could not be got ready for them.
  struct Outcome {
    std::size_t n = 0;
    Result<void> done;
  };
  /// Runs the first ones of slices that it takes, of at most max_slices(); at least one. Their jobs are not advanced.
  /// Device errors.
  Outcome run(std::span<const PassSlice> slices);

  std::uint64_t weight_bytes() const noexcept { return decoder_->bytes(); }

 private:
  DecodePass(std::unique_ptr<Decoder> decoder, MirrorCache* mirrors, std::uint32_t n_vocab)
      : decoder_(std::move(decoder)), mirrors_(mirrors), n_vocab_(n_vocab) {}

  Result<void> run_rows(std::span<const PassSlice> slices);
  /// Gets the first slices ready, in rows_ and holds_.
  Result<void> take_rows(std::span<const PassSlice> slices, bool checked);
  /// Runs the decoder. `checked`: the mirrors were looked at before; else false: a guest wrote to one, and the results
  /// are void.
  Result<bool> run_decoder(std::span<const PassSlice> slices, bool checked);
  /// The device's address of a Context's records, in a mirror that is held, or where they lie.
  Result<std::byte*> records_of(const KvBinding& kv, bool checked);
  /// The same where there is no room for a mirror, or there are none.
  static Result<std::byte*> reach(const KvBinding& kv);
  Result<void> publish(const PassSlice& slice, std::size_t row);
  Result<void> hand_out(const PassSlice& slice, std::size_t row);

  std::unique_ptr<Decoder> decoder_;
  MirrorCache* mirrors_;  ///< null: KV records are read where they lie
  std::uint32_t n_vocab_;
  Crew crew_{7};
  std::vector<MirrorCache::Hold> holds_;  ///< of the pass, one for each row; none: its records are read where they lie
  std::vector<Decoder::Row> rows_;
};

}  // namespace driftwood
