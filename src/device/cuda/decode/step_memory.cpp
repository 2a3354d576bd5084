#include "device/cuda/decode/step_memory.hpp"

#include "core/bytes.hpp"

namespace driftwood::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

/// Hands out the pieces one after another; counts only where there is no block.
class Pieces {
 public:
  explicit Pieces(std::uint8_t* block) : block_(block) {}

  template <typename T>
  T* take(std::size_t per_row) {
    T* const at = block_ == nullptr ? nullptr : reinterpret_cast<T*>(block_ + used_);
    used_ = align_up(used_ + kMaxRows * per_row * sizeof(T), kAlignment);
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::uint8_t* block_;
  std::size_t used_ = 0;
};

std::size_t lay_out(const StepModel& model, int max_chunks, int top_k, std::uint8_t* block, StepMemory& memory,
                    TopKKey*& keys) {
  Pieces pieces(block);
  const auto heads = static_cast<std::size_t>(model.n_head) * model.head_dim;
  memory.rows = pieces.take<StepRow>(1);
  memory.residual = pieces.take<float>(model.n_embd);
  memory.normed = pieces.take<std::uint16_t>(padded(model.n_embd));
  memory.squares = pieces.take<float>(model.n_embd / kTileRows);
  memory.q = pieces.take<float>(heads);
  memory.attended = pieces.take<std::uint16_t>(padded(static_cast<int>(heads)));
  memory.gated = pieces.take<std::uint16_t>(padded(model.n_ff));
  memory.partial = pieces.take<float>(static_cast<std::size_t>(model.n_head) * (model.head_dim + 2) * max_chunks);
  memory.arrived = pieces.take<unsigned>(model.n_head_kv);
  memory.logits = pieces.take<float>(model.n_vocab);
  keys = pieces.take<TopKKey>((model.n_vocab + kTopKSlice - 1) / kTopKSlice * static_cast<std::size_t>(top_k));
  return pieces.used();
}

}  // namespace

std::size_t step_memory_bytes(const StepModel& model, int max_chunks, int top_k) {
  StepMemory memory;
  TopKKey* keys = nullptr;
  return lay_out(model, max_chunks, top_k, nullptr, memory, keys);
}

StepMemory step_memory(const StepModel& model, int max_chunks, int top_k, std::uint8_t* block, TopKKey** keys) {
  StepMemory memory;
  lay_out(model, max_chunks, top_k, block, memory, *keys);
  return memory;
}

}  // namespace driftwood::cuda
