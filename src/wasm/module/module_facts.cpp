#include "wasm/module/module_facts.hpp"

#include "wasm/module/byte_reader.hpp"
#include "wasm/module/byte_writer.hpp"

namespace driftwood {

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
  writer.leb(data.size());
  for (const Image::Piece& piece : data) {
    writer.leb(piece.offset);
    writer.sized(piece.bytes);
  }
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
  for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) {
    const std::size_t offset = reader.u64();
    facts.data.push_back({offset, reader.sized()});
  }
  if (reader.failed() || !reader.at_end()) return fail(ErrorCode::corrupt, "The facts of a module cannot be read.");
  return facts;
}

}  // namespace driftwood
