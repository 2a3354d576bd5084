#include "tools/gguf_writer.hpp"

#include <fmt/format.h>

#include <fstream>

#include "core/bytes.hpp"
#include "model/gguf.hpp"

namespace driftwood::testing {
namespace {

constexpr std::size_t kAlignment = 32;

template <typename T>
void append(std::vector<std::byte>& out, T number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append(std::vector<std::byte>& out, std::string_view text) {
  append(out, std::uint64_t{text.size()});
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

std::uint32_t number_of(GgufType type) { return static_cast<std::uint32_t>(type); }

}  // namespace

std::size_t GgufWriter::Tensor::size() const {
  std::size_t rows = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) rows *= static_cast<std::size_t>(shape[i]);
  return rows * ggml_row_size(type, shape[0]);
}

void GgufWriter::begin_value(std::string_view key, std::uint32_t type) {
  append(values_, key);
  append(values_, type);
  ++value_count_;
}

void GgufWriter::begin_array(std::string_view key, std::uint32_t type, std::size_t count) {
  begin_value(key, number_of(GgufType::array));
  append(values_, type);
  append(values_, std::uint64_t{count});
}

void GgufWriter::add(std::string_view key, std::uint32_t value) {
  begin_value(key, number_of(GgufType::u32));
  append(values_, value);
}
void GgufWriter::add(std::string_view key, std::int32_t value) {
  begin_value(key, number_of(GgufType::i32));
  append(values_, value);
}
void GgufWriter::add(std::string_view key, float value) {
  begin_value(key, number_of(GgufType::f32));
  append(values_, value);
}
void GgufWriter::add(std::string_view key, bool value) {
  begin_value(key, number_of(GgufType::boolean));
  append(values_, std::uint8_t{value});
}
void GgufWriter::add(std::string_view key, std::string_view value) {
  begin_value(key, number_of(GgufType::string));
  append(values_, value);
}
void GgufWriter::add(std::string_view key, std::span<const std::string> values) {
  begin_array(key, number_of(GgufType::string), values.size());
  for (const std::string& value : values) append(values_, std::string_view(value));
}
void GgufWriter::add(std::string_view key, std::span<const std::int32_t> values) {
  begin_array(key, number_of(GgufType::i32), values.size());
  for (const std::int32_t value : values) append(values_, value);
}
void GgufWriter::add(std::string_view key, std::span<const float> values) {
  begin_array(key, number_of(GgufType::f32), values.size());
  for (const float value : values) append(values_, value);
}
void GgufWriter::add_flags(std::string_view key, std::span<const std::uint8_t> values) {
  begin_array(key, number_of(GgufType::boolean), values.size());
  for (const std::uint8_t value : values) append(values_, value);
}

void GgufWriter::add_tensor(std::string name, ggml_type type, std::vector<std::int64_t> shape, Fill fill) {
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(fill)});
}

std::vector<std::byte> GgufWriter::header() const {
  std::vector<std::byte> out;
  for (const char c : {'G', 'G', 'U', 'F'}) out.push_back(static_cast<std::byte>(c));
  append(out, std::uint32_t{3});
  append(out, std::uint64_t{tensors_.size()});
  append(out, value_count_);
  out.insert(out.end(), values_.begin(), values_.end());
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    append(out, std::string_view(tensor.name));
    append(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::int64_t extent : tensor.shape) append(out, extent);
    append(out, static_cast<std::uint32_t>(tensor.type));
    append(out, offset);
    offset = align_up(offset + tensor.size(), kAlignment);
  }
  out.resize(align_up(out.size(), kAlignment));
  return out;
}

void GgufWriter::each_data(const std::function<void(std::span<const std::byte>)>& sink) const {
  std::vector<std::byte> data;
  for (const Tensor& tensor : tensors_) {
    data.assign(align_up(tensor.size(), kAlignment), std::byte{0});
    if (tensor.fill) tensor.fill(std::span(data).first(tensor.size()));
    sink(data);
  }
}

std::vector<std::byte> GgufWriter::bytes() const {
  std::vector<std::byte> out = header();
  each_data([&](std::span<const std::byte> data) { out.insert(out.end(), data.begin(), data.end()); });
  return out;
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  const auto put = [&](std::span<const std::byte> data) {
    out.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  };
  put(header());
  each_data(put);
  out.close();
  if (!out) return fail(ErrorCode::unavailable, fmt::format("The file {} could not be written.", path.string()));
  return {};
}

}  // namespace driftwood::testing
