#include "wasm/module/instruction.hpp"

namespace driftwood {

namespace {

/// What follows an opcode.
enum class Immediates : std::uint8_t {
  unknown,  ///< no such instruction
  none,
  block_type,     ///< s33
  index,          ///< u32
  two_indices,    ///< u32, u32
  labels,         ///< vector of u32, u32
  value_types,    ///< vector of value types
  memory_access,  ///< alignment u32, offset u64
  i32,
  i64,
  bytes_4,
  bytes_8,
  bytes_16,
  lane,             ///< one byte
  access_and_lane,  ///< alignment u32, offset u64, one byte
};

constexpr std::uint8_t kMisc = 0xfc;
constexpr std::uint8_t kSimd = 0xfd;

Immediates plain_immediates(std::uint8_t opcode) noexcept {
  switch (opcode) {
    case 0x00:  // unreachable
    case 0x01:  // nop
    case 0x05:  // else
    case 0x0b:  // end
    case 0x0f:  // return
    case 0x1a:  // drop
    case 0x1b:  // select
    case 0xd1:  // ref.is_null
      return Immediates::none;
    case 0x02:  // block
    case 0x03:  // loop
    case 0x04:  // if
    case 0xd0:  // ref.null: a heap type is an s33 too
      return Immediates::block_type;
    case 0x0c:  // br
    case 0x0d:  // br_if
    case 0x10:  // call
    case 0x12:  // return_call
    case 0x3f:  // memory.size
    case 0x40:  // memory.grow
    case 0xd2:  // ref.func
      return Immediates::index;
    case 0x0e: return Immediates::labels;       // br_table
    case 0x11:                                  // call_indirect
    case 0x13: return Immediates::two_indices;  // return_call_indirect
    case 0x1c: return Immediates::value_types;  // select with types
    case 0x41: return Immediates::i32;
    case 0x42: return Immediates::i64;
    case 0x43: return Immediates::bytes_4;  // f32.const
    case 0x44: return Immediates::bytes_8;  // f64.const
    default: break;
  }
  if (opcode >= 0x20 && opcode <= 0x26) return Immediates::index;          // local.*, global.*, table.get, table.set
  if (opcode >= 0x28 && opcode <= 0x3e) return Immediates::memory_access;  // loads and stores
  if (opcode >= 0x45 && opcode <= 0xc4) return Immediates::none;           // numeric
  return Immediates::unknown;
}

Immediates misc_immediates(std::uint32_t number) noexcept {
  if (number <= 7) return Immediates::none;  // saturating truncations
  switch (number) {
    case 8:   // memory.init
    case 10:  // memory.copy
    case 12:  // table.init
    case 14:  // table.copy
      return Immediates::two_indices;
    case 9:   // data.drop
    case 11:  // memory.fill
    case 13:  // elem.drop
    case 15:  // table.grow
    case 16:  // table.size
    case 17:  // table.fill
      return Immediates::index;
    default: return Immediates::unknown;
  }
}

Immediates simd_immediates(std::uint32_t number) noexcept {
  constexpr std::uint32_t kLastRelaxed = 0x113;
  if (number <= 11 || number == 92 || number == 93) return Immediates::memory_access;  // v128.load*, v128.store
  if (number <= 13) return Immediates::bytes_16;                                       // v128.const, i8x16.shuffle
  if (number <= 20) return Immediates::none;                                           // i8x16.swizzle, splats
  if (number <= 34) return Immediates::lane;                                           // extract_lane, replace_lane
  if (number >= 84 && number <= 91) return Immediates::access_and_lane;                // load_lane, store_lane
  return number <= kLastRelaxed ? Immediates::none : Immediates::unknown;
}

std::uint32_t read_immediates(ByteReader& reader, Immediates immediates) noexcept {
  std::uint32_t first = 0;
  switch (immediates) {
    case Immediates::unknown: reader.fail(); break;
    case Immediates::none: break;
    case Immediates::block_type:
    case Immediates::i64: reader.signed_leb(); break;
    case Immediates::i32: first = static_cast<std::uint32_t>(reader.signed_leb()); break;
    case Immediates::index: first = reader.u32(); break;
    case Immediates::two_indices:
      first = reader.u32();
      reader.u32();
      break;
    case Immediates::labels:
      for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) reader.u32();
      reader.u32();
      break;
    case Immediates::value_types:
      for (std::uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) reader.signed_leb();
      break;
    case Immediates::memory_access:
    case Immediates::access_and_lane:
      reader.u32();
      reader.u64();
      if (immediates == Immediates::access_and_lane) reader.byte();
      break;
    case Immediates::bytes_4: reader.skip(4); break;
    case Immediates::bytes_8: reader.skip(8); break;
    case Immediates::bytes_16: reader.skip(16); break;
    case Immediates::lane: reader.byte(); break;
  }
  return reader.failed() ? 0 : first;
}

}  // namespace

Instruction read_instruction(ByteReader& reader) noexcept {
  const std::uint8_t first = reader.byte();
  std::uint32_t opcode = first;
  Immediates immediates = Immediates::unknown;
  if (first == kMisc || first == kSimd) {
    const std::uint32_t number = reader.u32();
    opcode = std::uint32_t{first} << 16 | (number & 0xffff);
    immediates = first == kMisc ? misc_immediates(number) : simd_immediates(number);
  } else {
    immediates = plain_immediates(first);
  }
  const std::uint32_t immediate = read_immediates(reader, immediates);
  return {static_cast<Opcode>(opcode), immediate};
}

void skip_expression(ByteReader& reader) noexcept {
  while (!reader.at_end() && read_instruction(reader).opcode != Opcode::end) {
  }
}

}  // namespace driftwood
