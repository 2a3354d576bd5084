#include "llm/graph/kv_spans.hpp"

#include <vector>

namespace driftwood {

namespace {

/// The spans of one sequence, in order: past tokens as far as they are clean through the Image, the rest where it is.
class SpanList {
 public:
  SpanList(const KvBinding& binding, std::vector<cpu::KvSpan>& spans)
      : binding_(binding),
        records_(binding.context_offset + binding.layout.kv_offset),
        own_(binding.memory->host() + records_),
        spans_(spans) {}

  void make() {
    spans_.clear();
    read_through_image();
    add(own_ + read_ * binding_.layout.token_stride, binding_.layout.n_ctx - read_);
  }
  std::byte* first_of_pass() const { return own_ + std::size_t{binding_.n_past} * binding_.layout.token_stride; }

 private:
  /// Adds spans for past tokens from number read_ on, as far as whole records of them are clean.
  void read_through_image() {
    const Region* region = binding_.memory->region();
    if (region == nullptr || binding_.n_past == 0) return;
    const std::size_t stride = binding_.layout.token_stride;
    const std::size_t begin = binding_.memory->region_offset() + records_;
    for (const auto& [range, at] : region->clean_pieces({begin, binding_.n_past * stride})) {
      const std::size_t from = range.offset - begin;
      const auto first = static_cast<std::uint32_t>((from + stride - 1) / stride);
      const auto end = static_cast<std::uint32_t>((from + range.size) / stride);
      if (first >= end) continue;
      // Records that lie in two pieces, or were written since, are whole in the actor's own mapping only.
      if (first > read_) add(own_ + read_ * stride, first - read_);
      add(at + (first * stride - from), end - first);
      read_ = end;
    }
  }

  void add(const std::byte* tokens, std::uint32_t n_tokens) {
    if (n_tokens != 0) spans_.push_back({tokens, n_tokens});
  }

  const KvBinding& binding_;
  const std::size_t records_;  ///< offset of the first token's record in the memory
  std::byte* const own_;
  std::vector<cpu::KvSpan>& spans_;
  std::uint32_t read_ = 0;  ///< tokens that have a span
};

}  // namespace

void find_kv_rows(const KvBinding& binding, cpu::KvSequence& sequence) {
  SpanList spans(binding, sequence.spans);
  spans.make();
  sequence.pass = spans.first_of_pass();
  sequence.token_stride = binding.layout.token_stride;
  sequence.row_bytes = binding.layout.row_bytes;
  sequence.type = kv_ggml_type(binding.layout.kv_type);
  sequence.n_past = binding.n_past;
  sequence.n_tokens = binding.n_tokens;
}

}  // namespace driftwood
