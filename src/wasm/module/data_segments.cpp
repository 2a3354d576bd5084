#include "wasm/module/data_segments.hpp"

#include <fmt/format.h>

#include "core/bytes.hpp"

namespace driftwood {

namespace {

// https://webassembly.github.io/spec/core/binary/modules.html#data-section
enum class SegmentMode : std::uint32_t { active = 0, passive = 1, active_with_memory = 2 };

Result<DataSegment> read_segment(ByteReader& reader, std::size_t index, const Declarations& declarations) {
  DataSegment segment;
  const auto mode = static_cast<SegmentMode>(reader.u32());
  segment.active = mode != SegmentMode::passive;
  if (mode == SegmentMode::active_with_memory) reader.u32();
  if (mode > SegmentMode::active_with_memory) reader.fail();
  if (segment.active) {
    const auto offset = evaluate_i32(reader, declarations.globals);
    if (!offset && !reader.failed()) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The place of the module's data segment {} depends on an imported global, and Driftwood "
                              "has none to give.",
                              index));
    }
    segment.offset = offset.value_or(0);
  }
  segment.bytes = reader.sized();
  if (reader.failed()) return malformed("data section");

  const std::uint64_t memory = declarations.memory ? declarations.memory->minimum_bytes() : 0;
  if (segment.active && !ByteRange{segment.offset, segment.bytes.size()}.within(memory)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The module's data segment {} ({} bytes at {}) does not lie in its memory, which begins "
                            "with {} bytes.",
                            index, segment.bytes.size(), segment.offset, memory));
  }
  return segment;
}

}  // namespace

Result<std::vector<DataSegment>> read_data_segments(std::span<const Section> sections,
                                                    const Declarations& declarations) {
  std::vector<DataSegment> segments;
  const Section* section = find_section(sections, SectionId::data);
  if (section == nullptr) return segments;
  ByteReader reader(section->content);
  for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) {
    const std::size_t start = reader.position();
    DW_TRY_ASSIGN(auto segment, read_segment(reader, segments.size(), declarations));
    segment.whole = section->content.subspan(start, reader.position() - start);
    segments.push_back(segment);
  }
  if (reader.failed()) return malformed("data section");
  return segments;
}

}  // namespace driftwood
