#include "device/null/null_decoder.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

namespace driftwood {
namespace {

constexpr std::uint32_t kMaxRows = 8;
constexpr std::uint32_t kMaxTopK = 64;

/// The finalizer of splitmix64.
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31);
}

/// Of some bits, an f16 between 1/8 and 1/4 or its negative: rows are numbers that a graph can go on with.
std::uint16_t f16_of(std::uint64_t bits) { return static_cast<std::uint16_t>(0x3000U | (bits & 0x83FFU)); }

class NullDecoder final : public Decoder {
 public:
  NullDecoder(const DecoderModel& model, std::shared_ptr<NullDeviceControl> control)
      : n_vocab_(model.n_vocab),
        stride_(model.token_stride),
        record_bytes_(std::size_t{2} * model.row_bytes * model.layers.size()),
        control_(std::move(control)) {}

  std::uint32_t max_rows() const noexcept override { return kMaxRows; }
  std::uint32_t max_top_k() const noexcept override { return std::min(kMaxTopK, n_vocab_); }
  std::uint64_t bytes() const noexcept override { return 0; }

  Result<void> run(std::span<const Row> rows, std::uint32_t top_k, const std::function<void()>& meanwhile) override {
    DW_TRY(control_->next(NullStep::decode));
    results_.clear();
    for (const Row& row : rows) results_.push_back(step(row, top_k));
    meanwhile();
    return {};
  }

  std::span<const std::byte> record(std::size_t row) const override {
    return std::as_bytes(std::span(results_[row].record));
  }
  std::span<const Best> best(std::size_t row) const override { return results_[row].best; }
  Result<void> logits(std::size_t row, std::span<float> out) override {
    std::ranges::copy(results_[row].logits, out.begin());
    return {};
  }

 private:
  struct Step {
    std::vector<std::uint16_t> record;
    std::vector<float> logits;
    std::vector<Best> best;
  };

  Step step(const Row& row, std::uint32_t top_k) const {
    const std::size_t past = row.n_past * stride_;
    std::uint64_t state = mixed(static_cast<std::uint64_t>(row.token));
    for (std::size_t record = 0; record < past; record += stride_) {
      for (std::size_t at = 0; at < record_bytes_; at += sizeof(std::uint64_t)) {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, row.records + record + at, std::min(sizeof(bytes), record_bytes_ - at));
        state = mixed(state + bytes);
      }
    }
    Step made;
    made.record.resize(stride_ / sizeof(std::uint16_t));
    for (std::size_t i = 0; i < made.record.size(); ++i) made.record[i] = f16_of(mixed(state + i));
    std::memcpy(row.records + past, made.record.data(), record_bytes_);
    made.logits.resize(n_vocab_);
    for (std::size_t i = 0; i < n_vocab_; ++i) made.logits[i] = static_cast<float>(mixed(state - i) >> 40) * 0x1p-24F;
    std::vector<std::int32_t> tokens(n_vocab_);
    std::iota(tokens.begin(), tokens.end(), 0);
    std::ranges::stable_sort(tokens, std::greater{}, [&](std::int32_t token) { return made.logits[token]; });
    for (std::uint32_t i = 0; i < top_k; ++i) made.best.push_back({tokens[i], made.logits[tokens[i]]});
    return made;
  }

  std::uint32_t n_vocab_;
  std::size_t stride_;
  std::size_t record_bytes_;  ///< of a record's stride
  std::shared_ptr<NullDeviceControl> control_;
  std::vector<Step> results_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> make_null_decoder(const DecoderModel& model,
                                                   std::shared_ptr<NullDeviceControl> control) {
  DW_TRY(control->next(NullStep::make_decoder));
  return std::make_unique<NullDecoder>(model, std::move(control));
}

}  // namespace driftwood
