// A safetensors file's header as text, taken apart. Internal to src/model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "model/safetensors.hpp"

namespace driftwood {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsTensor> tensors;  ///< offsets are those of the header: from the first tensor's byte on
};

/// Reads the JSON without making a tree of it, so that neither its depth nor its length costs more than the tensors
/// that it lists. corrupt: not JSON, or not of the format; whether offsets and shapes agree is not looked at.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view text);

}  // namespace driftwood
