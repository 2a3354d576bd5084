#include "model/safetensors_header.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

namespace driftwood {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kMaxNameBytes = 256;

/// Takes the header's events in turn. Where it is at any moment follows from the depth and the names it passed:
///   0: before the header   1: tensors by name   2: the fields of one   3: the numbers of its shape or offsets
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  SafetensorsHeader header;
  std::string wrong;  ///< a sentence, once a method returned false

  bool null() override { return unexpected_value(); }
  bool boolean(bool) override { return unexpected_value(); }
  bool number_integer(number_integer_t value) override {
    return refuse(fmt::format("The tensor \"{}\" has a negative number ({}).", tensor_.name, value));
  }
  bool number_float(number_float_t, const string_t&) override { return unexpected_value(); }
  bool binary(binary_t&) override { return unexpected_value(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) return unexpected_value();
    auto& numbers = field_ == "shape" ? tensor_.shape : offsets_;
    const std::size_t most = field_ == "shape" ? kMaxDimensions : 2;
    if (numbers.size() == most) {
      return refuse(fmt::format("The {} of the tensor \"{}\" has more than {} numbers.", field_, tensor_.name, most));
    }
    numbers.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ != 2 || (!in_metadata() && field_ != "dtype")) return unexpected_value();
    if (in_metadata()) {
      header.metadata[field_] = std::move(value);
    } else {
      tensor_.dtype = std::move(value);
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2) return unexpected_value();
    ++depth_;
    return true;
  }

  bool key(string_t& name) override {
    if (name.size() > kMaxNameBytes) {
      return refuse(fmt::format("A name has {} bytes, and at most {} are read.", name.size(), kMaxNameBytes));
    }
    if (depth_ == 1) {
      tensor_ = {};
      offsets_.clear();
      fields_.clear();
      tensor_.name = std::move(name);
      if (names_.insert(tensor_.name).second) return true;
      return refuse(fmt::format("The header names \"{}\" twice.", tensor_.name));
    }
    field_ = std::move(name);
    if (!in_metadata() && field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") {
      return refuse(fmt::format("The tensor \"{}\" has a member \"{}\"; there are dtype, shape and data_offsets.",
                                tensor_.name, field_));
    }
    if (fields_.insert(field_).second) return true;
    return refuse(fmt::format("\"{}\" has its member \"{}\" twice.", tensor_.name, field_));
  }

  bool end_object() override {
    if (depth_-- == 1 || tensor_.name == kMetadata) return true;
    if (fields_.size() != 3 || offsets_.size() != 2) {
      return refuse(fmt::format("The tensor \"{}\" lacks one of dtype, shape and two data_offsets.", tensor_.name));
    }
    if (offsets_[0] > offsets_[1]) {
      return refuse(
          fmt::format("The tensor \"{}\" ends at {}, before it begins ({}).", tensor_.name, offsets_[1], offsets_[0]));
    }
    tensor_.offset = offsets_[0];
    tensor_.size = offsets_[1] - offsets_[0];
    header.tensors.push_back(std::move(tensor_));
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata() || field_ == "dtype") return unexpected_value();
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return refuse(fmt::format("The header is not JSON: it goes wrong at byte {}.", position));
  }

 private:
  bool in_metadata() const { return tensor_.name == kMetadata; }
  bool refuse(std::string sentence) {
    wrong = std::move(sentence);
    return false;
  }
  bool unexpected_value() {
    if (depth_ == 0) return refuse("The header is not a JSON object.");
    if (depth_ == 1) return refuse(fmt::format("\"{}\" is not an object.", tensor_.name));
    if (in_metadata()) return refuse(fmt::format("The metadata \"{}\" is not a text.", field_));
    return refuse(fmt::format("The {} of the tensor \"{}\" is not what the format has there.", field_, tensor_.name));
  }

  int depth_ = 0;
  SafetensorsTensor tensor_;            ///< the one being read, or the metadata by its name
  std::string field_;                   ///< its member being read
  std::vector<std::uint64_t> offsets_;  ///< its data_offsets
  std::set<std::string> fields_;        ///< its members so far
  std::set<std::string> names_;         ///< of all tensors so far
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text) {
  HeaderReader reader;
  if (!Json::sax_parse(text, &reader)) {
    return fail(ErrorCode::corrupt, reader.wrong.empty() ? "The header is not JSON." : std::move(reader.wrong));
  }
  return std::move(reader.header);
}

}  // namespace driftwood
