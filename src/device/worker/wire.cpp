#include "device/worker/wire.hpp"

#include <fmt/format.h>

#include <bit>

namespace driftwood::worker {
namespace {

constexpr std::size_t kLongestText = 4096;
constexpr std::uint32_t kMostFeatures = 256;

bool is_sharing(std::uint8_t value) { return value <= static_cast<std::uint8_t>(Sharing::copied); }

bool is_alignment(std::uint64_t value) { return std::has_single_bit(value) && value <= kGiB; }

void encode(Writer& writer, const DeviceCapabilities& can) {
  writer.put<std::uint8_t>(can.host_kernels);
  writer.put<std::uint8_t>(can.host_addresses);
  writer.put(static_cast<std::uint8_t>(can.import_sharing));
  writer.put(static_cast<std::uint8_t>(can.weights_sharing));
  writer.put<std::uint64_t>(can.import_alignment);
  writer.put<std::uint64_t>(can.tensor_alignment);
  writer.put<std::uint64_t>(can.max_import);
  writer.put(can.prompt_chunk);
  writer.put(can.bf16_products_from);
}

bool decode(Reader& reader, DeviceCapabilities& can) {
  can.host_kernels = reader.get<std::uint8_t>() == 1;
  can.host_addresses = reader.get<std::uint8_t>() == 1;
  const auto import_sharing = reader.get<std::uint8_t>();
  const auto weights_sharing = reader.get<std::uint8_t>();
  can.import_alignment = reader.get<std::uint64_t>();
  can.tensor_alignment = reader.get<std::uint64_t>();
  can.max_import = reader.get<std::uint64_t>();
  can.prompt_chunk = reader.get<std::uint32_t>();
  can.bf16_products_from = reader.get<std::uint32_t>();
  if (!is_sharing(import_sharing) || !is_sharing(weights_sharing)) return false;
  can.import_sharing = static_cast<Sharing>(import_sharing);
  can.weights_sharing = static_cast<Sharing>(weights_sharing);
  return is_alignment(can.import_alignment) && is_alignment(can.tensor_alignment) && can.max_import != 0 &&
         can.prompt_chunk != 0 && can.prompt_chunk <= 65536;
}

}  // namespace

std::unexpected<Error> broken(std::string_view what) {
  return fail(ErrorCode::corrupt,
              fmt::format("The message \"{}\" between the node and its device worker is broken.", what));
}

void encode(Writer& writer, const OpenRequest& request) {
  writer.put_text(request.device);
  writer.put<std::int32_t>(request.options.threads);
  writer.put<std::uint8_t>(request.options.mirror_budget.has_value());
  writer.put<std::uint64_t>(request.options.mirror_budget.value_or(0));
}

Result<OpenRequest> decode_open_request(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  OpenRequest request;
  request.device = reader.get_text();
  request.options.threads = reader.get<std::int32_t>();
  const bool has_budget = reader.get<std::uint8_t>() != 0;
  const auto budget = reader.get<std::uint64_t>();
  if (has_budget) request.options.mirror_budget = budget;
  if (!reader.ended() || request.device.size() > kLongestText) return broken("open");
  return request;
}

void encode(Writer& writer, const DeviceInfo& info) {
  writer.put_text(info.name);
  writer.put_text(info.description);
  writer.put(info.memory_total);
  writer.put<std::int32_t>(info.threads);
  encode(writer, info.capabilities);
  writer.put_text(info.numerics.device);
  writer.put_text(info.numerics.kernels);
  writer.put<std::int32_t>(info.numerics.threads);
  writer.put(static_cast<std::uint32_t>(info.numerics.features.size()));
  for (const std::string& feature : info.numerics.features) writer.put_text(feature);
}

Result<DeviceInfo> decode_device_info(std::span<const std::byte> bytes) {
  if (bytes.size() > 16 * kLongestText) return broken("what the device is");
  Reader reader(bytes);
  DeviceInfo info;
  info.name = reader.get_text();
  info.description = reader.get_text();
  info.memory_total = reader.get<std::uint64_t>();
  info.threads = reader.get<std::int32_t>();
  const bool can = decode(reader, info.capabilities);
  info.numerics.device = reader.get_text();
  info.numerics.kernels = reader.get_text();
  info.numerics.threads = reader.get<std::int32_t>();
  const std::uint32_t features = reader.get_count(sizeof(std::uint64_t));
  if (features > kMostFeatures) return broken("what the device is");
  for (std::uint32_t i = 0; i < features; ++i) info.numerics.features.push_back(reader.get_text());
  if (!can || !reader.ended() || info.threads < 0) return broken("what the device is");
  return info;
}

void encode(Writer& writer, const ImportRequest& request) {
  writer.put(request.lead);
  writer.put(request.size);
  writer.put(request.read_only);
  writer.put(static_cast<std::uint32_t>(request.pieces.size()));
  for (const Piece& piece : request.pieces) writer.put(piece);
}

Result<ImportRequest> decode_import_request(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  ImportRequest request;
  request.lead = reader.get<std::uint64_t>();
  request.size = reader.get<std::uint64_t>();
  request.read_only = reader.get<std::uint32_t>();
  const std::uint32_t count = reader.get_count(sizeof(Piece));
  const std::size_t page = page_size();
  std::size_t total = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto piece = reader.get<Piece>();
    const auto sum = checked_add(total, piece.size);
    if (piece.size == 0 || !is_aligned(piece.size, page) || !is_aligned(piece.file_offset, page) || !sum ||
        piece.sealed > 1 || piece.file >= kMostFiles) {
      return broken("import");
    }
    total = *sum;
    request.pieces.push_back(piece);
  }
  const bool fits = request.lead < page && ByteRange{request.lead, request.size}.within(total);
  if (!reader.ended() || request.size == 0 || !fits || request.read_only > 1) return broken("import");
  return request;
}

void encode(Writer& writer, const ImportAnswer& answer) {
  writer.put(static_cast<std::uint8_t>(answer.sharing));
  writer.put(answer.copied);
}

Result<ImportAnswer> decode_import_answer(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  const auto sharing = reader.get<std::uint8_t>();
  const auto copied = reader.get<std::uint64_t>();
  if (!reader.ended() || !is_sharing(sharing)) return broken("imported");
  return ImportAnswer{static_cast<Sharing>(sharing), copied};
}

void encode(Writer& writer, const RunRequest& request) {
  writer.put(static_cast<std::uint32_t>(request.shapes.size()));
  for (const auto& shape : request.shapes) writer.put(shape);
  writer.put(static_cast<std::uint32_t>(request.places.size()));
  for (const auto& place : request.places) writer.put(place);
  writer.put(static_cast<std::uint32_t>(request.inputs.size()));
  for (const auto& input : request.inputs) {
    writer.put(input.tensor);
    writer.put<std::uint64_t>(input.bytes.size());
  }
}

Result<RunRequest> decode_run_request(std::span<const std::byte> bytes, std::span<const std::byte> behind) {
  Reader reader(bytes);
  RunRequest request;
  for (std::uint32_t n = reader.get_count(sizeof(RunRequest::Shape)); n > 0; --n) {
    request.shapes.push_back(reader.get<RunRequest::Shape>());
  }
  for (std::uint32_t n = reader.get_count(sizeof(RunRequest::Place)); n > 0; --n) {
    request.places.push_back(reader.get<RunRequest::Place>());
  }
  for (std::uint32_t n = reader.get_count(sizeof(std::uint32_t) + sizeof(std::uint64_t)); n > 0; --n) {
    const auto tensor = reader.get<std::uint32_t>();
    const auto size = reader.get<std::uint64_t>();
    if (size > behind.size()) return broken("run");
    request.inputs.push_back({tensor, behind.first(static_cast<std::size_t>(size))});
    behind = behind.subspan(static_cast<std::size_t>(size));
  }
  if (!reader.ended()) return broken("run");
  return request;
}

}  // namespace driftwood::worker
