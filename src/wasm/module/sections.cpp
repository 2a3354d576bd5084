#include "wasm/module/sections.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace driftwood {

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("The module's {} cannot be read.", what));
}

Result<std::vector<Section>> split_sections(std::span<const std::byte> module) {
  ByteReader reader(module);
  reader.skip(kModuleHeaderSize);
  std::vector<Section> sections;
  while (!reader.at_end()) {
    const std::size_t start = reader.position();
    const auto id = static_cast<SectionId>(reader.byte());
    const auto content = reader.sized();
    if (!reader.failed()) sections.push_back({id, content, module.subspan(start, reader.position() - start)});
  }
  if (reader.failed()) return malformed("list of sections");
  return sections;
}

const Section* find_section(std::span<const Section> sections, SectionId id) noexcept {
  const auto found = std::ranges::find(sections, id, &Section::id);
  return found != sections.end() ? &*found : nullptr;
}

}  // namespace driftwood
