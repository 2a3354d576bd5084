// How a file says that its positions are rotated and stretched.
#pragma once

#include <string_view>

#include "core/error.hpp"
#include "model/hyperparameters.hpp"
#include "model/metadata.hpp"

namespace driftwood {

/// Fills rope_base, rope_scale, rope_original_ctx and yarn's factors, for all layers alike; n_ctx_train must be set.
/// unsupported: a kind of scaling other than none, linear, yarn and longrope.
Result<void> read_rope(const Metadata& metadata, Hyperparameters& hyperparameters);
/// The scaling that the file names; "linear" where it names none.
Result<std::string_view> rope_scaling_type(const Metadata& metadata);
/// The parameters of yarn that only some families take from their file (mistral3). After read_rope.
Result<void> read_explicit_yarn(const Metadata& metadata, Hyperparameters& hyperparameters);

}  // namespace driftwood
