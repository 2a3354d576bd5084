// Which weights a model of a family has, and whether a file's are those.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "model/family.hpp"
#include "model/gguf.hpp"
#include "model/hyperparameters.hpp"

namespace driftwood {

struct WeightSpec {
  std::string name;                   ///< "blk.0.attn_q.weight"
  std::array<std::int64_t, 2> shape;  ///< columns (the input's width), rows (the output's); a vector has one row
  bool is_matrix = false;             ///< may be quantized; vectors are f32
};

/// Every weight that the forward graph of such a model reads, in the order of use.
std::vector<WeightSpec> weight_specs(const Hyperparameters& hyperparameters);

/// True for the types of matrices that graphs can multiply by and look rows up in.
bool is_weight_type(ggml_type type) noexcept;

/// corrupt: a weight is missing or of the wrong shape; unsupported: of a type that no kernel takes,
/// or one that the family's graph does not use.
Result<void> check_weights(const Gguf& gguf, const Family& family, const Hyperparameters& hyperparameters);

}  // namespace driftwood
