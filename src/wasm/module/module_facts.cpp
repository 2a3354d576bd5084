#include "wasm/module/module_facts.hpp"

#include <algorithm>
#include <utility>

#include "wasm/module/byte_reader.hpp"
#include "wasm/module/byte_writer.hpp"

namespace driftwood {

namespace {

/// Zeros between two pieces that are written out sooner than a piece more is made. Go's modules have 20,000 segments.
constexpr std::size_t kSmallGap = 64;

std::size_t end_of(const Image::Piece& piece) { return piece.offset + piece.bytes.size(); }

/// Sorts pieces by place where no two overlap, so that their order does not matter; false where it does.
bool sort_disjoint(std::vector<Image::Piece>& pieces) {
  auto sorted = pieces;
  std::ranges::sort(sorted, {}, &Image::Piece::offset);
  const auto overlaps = [](const Image::Piece& a, const Image::Piece& b) { return b.offset < end_of(a); };
  if (std::ranges::adjacent_find(sorted, overlaps) != sorted.end()) return false;
  pieces = std::move(sorted);
  return true;
}

/// The first of sorted `pieces` and those after it that lie close behind each other.
std::span<const Image::Piece> close_pieces(std::span<const Image::Piece> pieces) {
  const auto is_far = [](const Image::Piece& a, const Image::Piece& b) { return b.offset - end_of(a) > kSmallGap; };
  const auto last = std::ranges::adjacent_find(pieces, is_far);
  return pieces.first(last == pieces.end() ? pieces.size() : static_cast<std::size_t>(last - pieces.begin()) + 1);
}

void write_data(ByteWriter& writer, std::vector<Image::Piece> data) {
  std::erase_if(data, [](const Image::Piece& piece) { return piece.bytes.empty(); });
  const bool may_join = sort_disjoint(data);
  for (std::span<const Image::Piece> pieces = data; !pieces.empty();) {
    const auto group = may_join ? close_pieces(pieces) : pieces.first(1);
    pieces = pieces.subspan(group.size());
    writer.byte(1);  // one more
    writer.leb(group.front().offset);
    writer.leb(end_of(group.back()) - group.front().offset);
    std::size_t at = group.front().offset;
    for (const Image::Piece& piece : group) {
      for (; at < piece.offset; ++at) writer.byte(0);
      writer.append(piece.bytes);
      at = end_of(piece);
    }
  }
  writer.byte(0);
}

}  // namespace

std::vector<std::byte> ModuleFacts::encode() const {
  ByteWriter writer;
  writer.byte(memory.has_value());
  writer.leb(memory ? memory->minimum : 0);
  writer.leb(memory ? memory->maximum : 0);
  writer.leb(globals.size());
  for (const MutableGlobal& global : globals) {
    writer.leb(global.index);
    writer.byte(static_cast<std::uint8_t>(global.type));
  }
  writer.byte(has_start);
  writer.name(freeze_obstacle);
  writer.leb(code_shift);
  write_data(writer, data);
  return writer.take();
}

Result<ModuleFacts> ModuleFacts::decode(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  ModuleFacts facts;
  const bool has_memory = reader.byte() != 0;
  const MemoryLimits memory{.minimum = reader.u64(), .maximum = reader.u64()};
  if (has_memory) facts.memory = memory;
  for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) {
    const std::uint32_t index = reader.u32();
    facts.globals.push_back({index, static_cast<WasmType>(reader.byte())});
  }
  facts.has_start = reader.byte() != 0;
  facts.freeze_obstacle = reader.name();
  facts.code_shift = reader.u64();
  while (reader.byte() != 0) {
    const std::size_t offset = reader.u64();
    facts.data.push_back({offset, reader.sized()});
  }
  if (reader.failed() || !reader.at_end()) return fail(ErrorCode::corrupt, "The facts of a module cannot be read.");
  return facts;
}

}  // namespace driftwood
