// What people call the precision of a file's weights: "Q4_1", "Q4_K_M", "F16".
#pragma once

#include <string>

#include "model/gguf.hpp"

namespace driftwood {

/// From general.file_type; where that is missing or unknown, the type that most weights' bytes are of.
std::string file_type_name(const Gguf& gguf);

}  // namespace driftwood
