// Walks over the instructions of a function's body or of a constant expression.
//
// Knows how long each instruction is, not whether it is valid where it stands. The
// instructions are those that the engine admits: WebAssembly 2.0, tail calls,
// extended constant expressions, relaxed SIMD.
// Source: https://webassembly.github.io/spec/core/binary/instructions.html
#pragma once

#include <cstdint>

#include "wasm/module/byte_reader.hpp"

namespace driftwood {

/// The opcode byte, or for those behind a prefix: prefix << 16 | number.
enum class Opcode : std::uint32_t {
  block = 0x02,
  loop = 0x03,
  if_ = 0x04,
  end = 0x0b,
  global_get = 0x23,
  table_set = 0x26,
  i32_const = 0x41,
  i32_add = 0x6a,
  i32_sub = 0x6b,
  i32_mul = 0x6c,
  data_drop = 0xfc0000 | 9,
  table_init = 0xfc0000 | 12,
  elem_drop = 0xfc0000 | 13,
  table_copy = 0xfc0000 | 14,
  table_grow = 0xfc0000 | 15,
  table_fill = 0xfc0000 | 17,
};

struct Instruction {
  Opcode opcode{};
  /// The first immediate where that is an index or an i32 constant (as its bits), else 0.
  std::uint32_t immediate = 0;
};

/// The next instruction. One that is cut short or unknown fails the reader.
Instruction read_instruction(ByteReader& reader) noexcept;

/// Reads past the `end` of an expression that holds no blocks, such as a constant one.
void skip_expression(ByteReader& reader) noexcept;

}  // namespace driftwood
