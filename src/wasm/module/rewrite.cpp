#include "wasm/module/rewrite.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "wasm/module/byte_writer.hpp"
#include "wasm/module/data_segments.hpp"
#include "wasm/module/declarations.hpp"
#include "wasm/module/freeze_check.hpp"
#include "wasm/module/sections.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

enum class ExportKind : std::uint8_t { function = 0, global = 3 };

struct Export {
  std::string name;
  ExportKind kind{};
  std::uint32_t index = 0;
};

/// The export section's content but for its count, and the count.
struct ExportSection {
  std::uint32_t count = 0;
  std::span<const std::byte> entries;
};

Result<ExportSection> read_exports(const Section* section) {
  ExportSection exports;
  if (section == nullptr) return exports;
  ByteReader reader(section->content);
  exports.count = reader.u32();
  exports.entries = section->content.subspan(reader.position());
  for (std::uint32_t left = exports.count; left > 0 && !reader.failed(); --left) {
    const std::string_view name = reader.name();
    reader.byte();
    reader.u32();
    if (name.starts_with(kReservedPrefix)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("The module exports \"{}\", but names that begin with \"{}\" are the runtime's.",
                              printable(name), kReservedPrefix));
    }
  }
  if (reader.failed()) return malformed("export section");
  return exports;
}

Result<std::optional<std::uint32_t>> read_start(const Section* section) {
  if (section == nullptr) return std::nullopt;
  ByteReader reader(section->content);
  const std::uint32_t function = reader.u32();
  if (reader.failed()) return malformed("start section");
  return function;
}

void write_section(ByteWriter& module, SectionId id, std::span<const std::byte> content) {
  module.byte(static_cast<std::uint8_t>(id));
  module.sized(content);
}

void write_exports(ByteWriter& module, const ExportSection& own, std::span<const Export> added) {
  ByteWriter content;
  content.leb(own.count + added.size());
  content.append(own.entries);
  for (const Export& item : added) {
    content.name(item.name);
    content.byte(static_cast<std::uint8_t>(item.kind));
    content.leb(item.index);
  }
  write_section(module, SectionId::export_, content.bytes());
}

void write_data(ByteWriter& module, std::span<const DataSegment> segments) {
  constexpr std::uint8_t kPassive = 1;
  ByteWriter content;
  content.leb(segments.size());
  for (const DataSegment& segment : segments) {
    if (segment.active) {
      content.byte(kPassive);
      content.sized({});
    } else {
      content.append(segment.whole);
    }
  }
  write_section(module, SectionId::data, content.bytes());
}

bool comes_after_exports(SectionId id) {
  return id == SectionId::start || id == SectionId::element || id == SectionId::data_count || id == SectionId::code ||
         id == SectionId::data;
}

/// Where `section` begins in a module of these sections.
std::size_t offset_in(std::span<const std::byte> module, const Section& section) {
  return static_cast<std::size_t>(section.whole.data() - module.data());
}

}  // namespace

Result<RewrittenModule> rewrite_module(std::span<const std::byte> module) {
  DW_TRY_ASSIGN(const auto sections, split_sections(module));
  DW_TRY_ASSIGN(const auto declarations, read_declarations(sections));
  DW_TRY_ASSIGN(const auto segments, read_data_segments(sections, declarations));
  DW_TRY_ASSIGN(const auto own_exports, read_exports(find_section(sections, SectionId::export_)));
  DW_TRY_ASSIGN(const auto start, read_start(find_section(sections, SectionId::start)));

  RewrittenModule rewritten;
  ModuleFacts& facts = rewritten.facts;
  DW_TRY_ASSIGN(facts.freeze_obstacle, find_freeze_obstacle(sections, declarations, segments));
  facts.memory = declarations.memory;
  facts.has_start = start.has_value();
  for (const DataSegment& segment : segments) {
    if (segment.active) facts.data.push_back({segment.offset, segment.bytes});
  }
  std::vector<Export> added;
  for (std::uint32_t i = 0; i < declarations.globals.size(); ++i) {
    const GlobalDeclaration& global = declarations.globals[i];
    if (!global.is_mutable || global.imported || !global.type) continue;
    facts.globals.push_back({i, *global.type});
    added.push_back({fmt::format("{}{}", kGlobalExport, i), ExportKind::global, i});
  }
  if (start) added.push_back({std::string(kStartExport), ExportKind::function, *start});

  ByteWriter writer;
  writer.append(module.first(kModuleHeaderSize));
  bool exports_written = added.empty();
  for (const Section& section : sections) {
    if (!exports_written && (section.id == SectionId::export_ || comes_after_exports(section.id))) {
      write_exports(writer, own_exports, added);
      exports_written = true;
      if (section.id == SectionId::export_) continue;
    }
    if (section.id == SectionId::start) continue;
    if (section.id == SectionId::code) facts.code_shift = writer.size() - offset_in(module, section);
    if (section.id == SectionId::data && !facts.data.empty()) {
      write_data(writer, segments);
    } else {
      writer.append(section.whole);
    }
  }
  if (!exports_written) write_exports(writer, own_exports, added);
  rewritten.binary = writer.take();
  return rewritten;
}

}  // namespace driftwood
