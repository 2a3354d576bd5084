// The kernels of one decoding step, in order: for each layer five.
//
//   embed | qkv + rope + store | attention | output + residual | gate, up, silu | down + residual | ... | head | top-k
//
// `launch(kernel, grid, threads, arguments...)` runs a kernel after those before it. What
// differs between steps is in memory (StepRow): a step of one shape is launched the
// same way each time, so that it can be recorded once.
#pragma once

#include "device/cuda/decode/attention.cuh"
#include "device/cuda/decode/embed.cuh"
#include "device/cuda/decode/epilogues.cuh"
#include "device/cuda/decode/matmul.cuh"
#include "device/cuda/top_k.cuh"

namespace driftwood::cuda {

inline constexpr int kMostBlocks = 528;  ///< of a product: each takes several tiles where there are more

template <class Launch>
class Step {
 public:
  Step(Launch& launch, const StepModel& model, const StepMemory& memory, const StepShape& shape)
      : launch_(launch), model_(model), memory_(memory), shape_(shape) {}

  void run(const StepLayer* layers, int n_layer, const StepOutput& output) {
    begin();
    for (int i = 0; i < n_layer; ++i) layer(layers[i]);
    multiply(model_.head, normed(), StoreLogits{memory_.logits, model_.n_vocab});
    if (shape_.top_k != 0) pick(output);
  }

 private:
  void begin() {
    switch (model_.embedding.format) {
      case PackedFormat::w4:
        return launch_(embed<PackedFormat::w4>, dim3(shape_.n_rows), kEmbedThreads, model_, memory_);
      case PackedFormat::w8:
        return launch_(embed<PackedFormat::w8>, dim3(shape_.n_rows), kEmbedThreads, model_, memory_);
      case PackedFormat::w16:
        return launch_(embed<PackedFormat::w16>, dim3(shape_.n_rows), kEmbedThreads, model_, memory_);
    }
  }

  void layer(const StepLayer& layer) {
    const int heads = model_.n_head * model_.head_dim;
    multiply(layer.qkv, normed(), StoreHeads{model_, memory_, layer.record_offset});
    attend(layer);
    multiply(layer.attention_output, plain(memory_.attended, heads), add_residual(layer.ffn_norm));
    multiply(layer.gate_up, normed(), StoreGated{memory_.gated, padded(model_.n_ff)});
    multiply(layer.down, plain(memory_.gated, model_.n_ff), add_residual(layer.next_norm));
  }

  MatmulArguments plain(const std::uint16_t* activations, int columns) const {
    MatmulArguments arguments;
    arguments.activations = activations;
    arguments.stride = padded(columns);
    arguments.n_rows = shape_.n_rows;
    return arguments;
  }

  MatmulArguments normed() const {
    MatmulArguments arguments = plain(memory_.normed, model_.n_embd);
    arguments.squares = memory_.squares;
    arguments.n_squares = model_.n_embd / kTileRows;
    arguments.n_columns = model_.n_embd;
    arguments.epsilon = model_.epsilon;
    return arguments;
  }

  AddResidual add_residual(const float* norm) const { return {{memory_, norm, model_.n_embd, padded(model_.n_embd)}}; }

  template <class Epilogue>
  void multiply(const PackedTiles& matrix, MatmulArguments arguments, const Epilogue& epilogue) {
    arguments.matrix = matrix;
    switch (matrix.format) {
      case PackedFormat::w4: return multiply_as<PackedFormat::w4>(arguments, epilogue);
      case PackedFormat::w8: return multiply_as<PackedFormat::w8>(arguments, epilogue);
      case PackedFormat::w16: return multiply_as<PackedFormat::w16>(arguments, epilogue);
    }
  }

  template <PackedFormat format, class Epilogue>
  void multiply_as(const MatmulArguments& arguments, const Epilogue& epilogue) {
    // What a warp has of a tile is on its way at once, as far as registers allow.
    constexpr int kMany = format == PackedFormat::w4 ? 8 : format == PackedFormat::w8 ? 4 : 2;
    if (shape_.n_rows <= 8 && arguments.matrix.n_groups > 2 * kMatmulWarps) {
      multiply_in<format, 1, kMany, 1>(arguments, epilogue);
    } else if (shape_.n_rows <= 8) {
      multiply_in<format, 1, 2, 1>(arguments, epilogue);
    } else if (shape_.n_rows <= 16) {
      multiply_in<format, 2, 2, 1>(arguments, epilogue);
    } else if (shape_.n_rows <= 32) {
      multiply_in<format, 4, 1, 2>(arguments, epilogue);
    } else {
      multiply_in<format, 8, 1, 2>(arguments, epilogue);
    }
  }

  template <PackedFormat format, int n8, int ahead, int tiles, class Epilogue>
  void multiply_in(const MatmulArguments& arguments, const Epilogue& epilogue) {
    const int needed = (arguments.matrix.n_tiles + tiles - 1) / tiles;
    launch_(matmul<format, n8, ahead, tiles, Epilogue>, dim3(needed < kMostBlocks ? needed : kMostBlocks),
            kMatmulThreads, arguments, epilogue);
  }

  template <int group, int head_dim>
  void attend_as(const StepLayer& layer) {
    launch_(attention<group, head_dim>, dim3(shape_.max_chunks, model_.n_head_kv, shape_.n_rows), kAttentionThreads,
            AttentionArguments{model_, memory_, layer.record_offset, shape_.max_chunks});
  }

  template <int head_dim>
  void attend_with(const StepLayer& layer) {
    switch (model_.n_head / model_.n_head_kv) {
      case 1: return attend_as<1, head_dim>(layer);
      case 2: return attend_as<2, head_dim>(layer);
      case 3: return attend_as<3, head_dim>(layer);
      case 4: return attend_as<4, head_dim>(layer);
      case 6: return attend_as<6, head_dim>(layer);
      case 7: return attend_as<7, head_dim>(layer);
      case 8: return attend_as<8, head_dim>(layer);
    }
  }

  void attend(const StepLayer& layer) {
    if (model_.head_dim == 64) {
      attend_with<64>(layer);
    } else {
      attend_with<128>(layer);
    }
  }

  void pick(const StepOutput& output) {
    const auto* logits = static_cast<const float*>(memory_.logits);
    const auto* keys = static_cast<const TopKKey*>(output.keys);
    const int wide = (model_.n_vocab + kTopKWide - 1) / kTopKWide;
    if (shape_.top_k <= kMostFew && wide * shape_.top_k <= kTopKJoined) {
      launch_(top_k_wide, dim3(wide, shape_.n_rows), kTopKThreads, logits, model_.n_vocab, shape_.top_k, output.keys);
      launch_(top_k_join, dim3(shape_.n_rows), kTopKThreads, keys, wide * shape_.top_k, shape_.top_k, output.best);
      return;
    }
    const int slices = (model_.n_vocab + kTopKSlice - 1) / kTopKSlice;
    launch_(top_k_slices, dim3(slices, shape_.n_rows), kTopKThreads, logits, model_.n_vocab, shape_.top_k, output.keys);
    launch_(top_k_merge, dim3(shape_.n_rows), kWarp, keys, slices, shape_.top_k, output.best);
  }

  Launch& launch_;
  const StepModel& model_;
  const StepMemory& memory_;
  const StepShape& shape_;
};

/// Group sizes and head sizes that attention is built for.
constexpr bool attention_takes(int group, int head_dim) {
  return (head_dim == 64 || head_dim == 128) && ((group >= 1 && group <= 4) || (group >= 6 && group <= 8));
}

}  // namespace driftwood::cuda
