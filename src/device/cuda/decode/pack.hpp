// GGUF's weights as the tiles of packed_layout.hpp. Pure arithmetic; any thread.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/cuda/decode/packed_layout.hpp"

namespace driftwood::cuda {

/// The format that holds a type's numbers without loss (its scales, where they are products, rounded to f16).
std::optional<PackedFormat> packed_format(ggml_type type) noexcept;

/// Rows of GGUF weights of one type and width, in the order in which they are to be packed; null: zeros.
struct RowList {
  ggml_type type = GGML_TYPE_F32;
  int n_columns = 0;
  std::vector<const std::byte*> rows;
};

std::size_t packed_bytes(PackedFormat format, std::size_t n_rows, int n_columns) noexcept;

/// Packs all rows, on as many threads as there are cores; `out` has packed_bytes().
void pack(const RowList& list, std::span<std::uint8_t> out);

}  // namespace driftwood::cuda
