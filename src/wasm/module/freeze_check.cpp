#include "wasm/module/freeze_check.hpp"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "wasm/module/instruction.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

/// The function's name from the name section; empty when it has none there.
/// https://webassembly.github.io/spec/core/appendix/custom.html#name-section
std::string_view function_name(std::span<const Section> sections, std::uint32_t function) {
  constexpr std::uint8_t kFunctionNames = 1;
  for (const Section& section : sections) {
    if (section.id != SectionId::custom) continue;
    ByteReader reader(section.content);
    if (reader.name() != "name") continue;
    while (!reader.at_end()) {
      const std::uint8_t kind = reader.byte();
      ByteReader names(reader.sized());
      if (kind != kFunctionNames) continue;
      for (std::uint32_t left = names.u32(); left > 0 && !names.failed(); --left) {
        const std::uint32_t index = names.u32();
        const std::string_view name = names.name();
        if (index == function) return name;
      }
    }
  }
  return {};
}

/// What the instruction changes that a freeze does not keep; empty for nothing.
std::string unkept_change(const Instruction& instruction, std::span<const DataSegment> segments) {
  const auto changes_table = [](std::string_view name) {
    return fmt::format("{}, and tables that change are not kept", name);
  };
  switch (instruction.opcode) {
    case Opcode::table_set: return changes_table("table.set");
    case Opcode::table_init: return changes_table("table.init");
    case Opcode::table_copy: return changes_table("table.copy");
    case Opcode::table_grow: return changes_table("table.grow");
    case Opcode::table_fill: return changes_table("table.fill");
    case Opcode::elem_drop: return "elem.drop, and dropped element segments are not kept";
    case Opcode::data_drop: {  // to drop an active segment does nothing: it is dropped from the beginning
      const std::size_t index = instruction.immediate;
      if (index >= segments.size() || segments[index].active) return {};
      return fmt::format("data.drop of the passive data segment {}, and dropped segments are not kept", index);
    }
    default: return {};
  }
}

/// What the body, with its locals, holds of that; empty for nothing, none when it cannot be read.
std::optional<std::string> unkept_change_in(std::span<const std::byte> body, std::span<const DataSegment> segments) {
  ByteReader reader(body);
  for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) {
    reader.u32();         // how many locals
    reader.signed_leb();  // of which type
  }
  while (!reader.at_end()) {
    std::string change = unkept_change(read_instruction(reader), segments);
    if (!change.empty() && !reader.failed()) return change;
  }
  if (reader.failed()) return std::nullopt;
  return std::string();
}

}  // namespace

Result<std::string> find_freeze_obstacle(std::span<const Section> sections, const Declarations& declarations,
                                         std::span<const DataSegment> segments) {
  for (std::size_t i = 0; i < declarations.globals.size(); ++i) {
    const GlobalDeclaration& global = declarations.globals[i];
    if (global.is_mutable && !global.type) {
      return fmt::format(
          "The program cannot be frozen: its global {} is a mutable reference, which has no bits to keep.", i);
    }
  }

  const Section* code = find_section(sections, SectionId::code);
  if (code == nullptr) return std::string();
  ByteReader bodies(code->content);
  std::uint32_t function = declarations.imported_functions;
  for (std::uint32_t left = bodies.u32(); left > 0 && !bodies.failed(); --left, ++function) {
    const auto change = unkept_change_in(bodies.sized(), segments);
    if (bodies.failed()) break;
    if (change && change->empty()) continue;
    const std::string_view name = function_name(sections, function);
    const std::string which = name.empty() ? fmt::format("function {}", function)
                                           : fmt::format("function {} ({})", function, printable(name));
    if (!change) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The module's {} holds an instruction that Driftwood does not know.", which));
    }
    return fmt::format("The program cannot be frozen: its {} holds {}.", which, *change);
  }
  if (bodies.failed()) return malformed("code section");
  return std::string();
}

}  // namespace driftwood
