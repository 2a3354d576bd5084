#include "wasm/module/declarations.hpp"

#include "wasm/module/instruction.hpp"

namespace driftwood {

namespace {

constexpr std::uint64_t kMostPages = 65536;

enum class ImportKind : std::uint8_t {
  function = 0,
  table = 1,
  memory = 2,
  global = 3,
  tag = 4,
  exact_function = 0x20,  ///< of the custom descriptors proposal; Wasmtime's validation lets it pass
};

MemoryLimits read_limits(ByteReader& reader) {
  const std::uint32_t flags = reader.u32();
  MemoryLimits limits{.minimum = reader.u64(), .maximum = kMostPages};
  if ((flags & 1u) != 0) limits.maximum = reader.u64();
  return limits;
}

void read_memory(ByteReader& reader, Declarations& declarations) {
  const MemoryLimits limits = read_limits(reader);
  if (limits.minimum > kMostPages || limits.maximum > kMostPages) reader.fail();
  if (!declarations.memory) declarations.memory = limits;
}

/// A value type: a number's, or nothing for a reference.
std::optional<WasmType> read_value_type(ByteReader& reader) {
  switch (reader.byte()) {
    case 0x7f: return WasmType::i32;
    case 0x7e: return WasmType::i64;
    case 0x7d: return WasmType::f32;
    case 0x7c: return WasmType::f64;
    case 0x7b: return WasmType::v128;
    case 0x63:  // a reference that names its heap type
    case 0x64: reader.signed_leb(); return std::nullopt;
    default: return std::nullopt;
  }
}

GlobalDeclaration read_global_type(ByteReader& reader) {
  GlobalDeclaration global;
  global.type = read_value_type(reader);
  global.is_mutable = reader.byte() != 0;
  return global;
}

void read_import(ByteReader& reader, Declarations& declarations) {
  reader.name();
  reader.name();
  switch (static_cast<ImportKind>(reader.byte())) {
    case ImportKind::function:
    case ImportKind::exact_function:
      reader.u32();
      ++declarations.imported_functions;
      return;
    case ImportKind::table:
      read_value_type(reader);
      read_limits(reader);
      return;
    case ImportKind::memory: read_memory(reader, declarations); return;
    case ImportKind::global:
      declarations.globals.push_back(read_global_type(reader));
      declarations.globals.back().imported = true;
      return;
    case ImportKind::tag:
      reader.byte();
      reader.u32();
      return;
  }
  reader.fail();
}

/// Calls `read` for each entry of a section that is a vector; false when the section is malformed.
template <typename Read>
bool each_entry(const Section* section, Read read) {
  if (section == nullptr) return true;
  ByteReader reader(section->content);
  for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) read(reader);
  return !reader.failed();
}

}  // namespace

std::optional<std::uint32_t> evaluate_i32(ByteReader& reader, std::span<const GlobalDeclaration> globals) {
  std::vector<std::uint32_t> stack;
  bool known = true;
  while (!reader.at_end()) {
    const Instruction instruction = read_instruction(reader);
    if (instruction.opcode == Opcode::end) break;
    if (!known) continue;  // what is left is only read
    switch (instruction.opcode) {
      case Opcode::i32_const: stack.push_back(instruction.immediate); break;
      case Opcode::global_get: {
        const std::size_t index = instruction.immediate;
        known = index < globals.size() && globals[index].constant.has_value();
        if (known) stack.push_back(*globals[index].constant);
        break;
      }
      case Opcode::i32_add:
      case Opcode::i32_sub:
      case Opcode::i32_mul: {
        known = stack.size() >= 2;
        if (!known) break;
        const std::uint32_t right = stack.back();
        stack.pop_back();
        std::uint32_t& left = stack.back();
        if (instruction.opcode == Opcode::i32_add) left += right;
        if (instruction.opcode == Opcode::i32_sub) left -= right;
        if (instruction.opcode == Opcode::i32_mul) left *= right;
        break;
      }
      default: known = false; break;
    }
  }
  if (reader.failed() || !known || stack.size() != 1) return std::nullopt;
  return stack.back();
}

Result<Declarations> read_declarations(std::span<const Section> sections) {
  Declarations declarations;
  const auto import = [&](ByteReader& reader) { read_import(reader, declarations); };
  if (!each_entry(find_section(sections, SectionId::import), import)) return malformed("import section");

  const auto memory = [&](ByteReader& reader) { read_memory(reader, declarations); };
  if (!each_entry(find_section(sections, SectionId::memory), memory)) return malformed("memory section");

  const auto global = [&](ByteReader& reader) {
    GlobalDeclaration declared = read_global_type(reader);
    const auto value = evaluate_i32(reader, declarations.globals);
    if (!declared.is_mutable && declared.type == WasmType::i32) declared.constant = value;
    declarations.globals.push_back(declared);
  };
  if (!each_entry(find_section(sections, SectionId::global), global)) return malformed("global section");
  return declarations;
}

}  // namespace driftwood
