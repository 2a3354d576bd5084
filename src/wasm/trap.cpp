#include "wasm/trap.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "wasm/handles.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kLongestText = 400;
constexpr std::size_t kLongestName = 120;

std::string_view sentence_of(wasmtime_trap_code_t code) {
  switch (code) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW: return "call stack exhausted";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS: return "out-of-bounds memory access";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS: return "out-of-bounds table access";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL: return "indirect call through an empty table element";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE: return "indirect call of a function of another type";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW: return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO: return "integer division by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER: return "conversion of a number that no integer can hold";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED: return "unreachable instruction executed";
    default: return {};
  }
}

std::string message_of(const wasm_trap_t& trap) {
  WasmBytes message;
  wasm_trap_message(&trap, &message);
  return std::string(text_of(message));
}

/// Wasmtime gives an access's address in words alone; empty when it did not.
std::string fault_of(std::string_view message) {
  constexpr std::string_view kFault = "memory fault at wasm address ";
  const auto start = message.find(kFault);
  if (start == std::string_view::npos) return {};
  const auto line = message.substr(start + kFault.size());
  return " at address " + printable(line.substr(0, line.find('\n')));
}

std::string lines_of(const WasmFrames& frames, std::uint64_t code_shift) {
  std::string lines;
  std::size_t depth = 0;
  for (const wasm_frame_t* frame : frames) {
    const wasm_name_t* name = wasmtime_frame_func_name(frame);
    lines += fmt::format("\n  #{} {} at {:#x}", depth++,
                         name != nullptr ? printable(text_of(*name).substr(0, kLongestName))
                                         : fmt::format("function {}", wasm_frame_func_index(frame)),
                         wasm_frame_module_offset(frame) - code_shift);
  }
  return lines;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string line;
  for (char c : text.substr(0, kLongestText)) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : (static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c);
  }
  if (text.size() > kLongestText) line += "...";
  return line;
}

std::string describe(const wasmtime_error_t& error) {
  WasmBytes bytes;
  wasmtime_error_message(&error, &bytes);
  std::string text(text_of(bytes));
  constexpr std::string_view kCause = "\n\nCaused by:\n";
  if (const auto cause = text.find(kCause); cause != std::string::npos) text.replace(cause, kCause.size(), ": ");
  std::string line = printable(text);
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

Error trap_error(const wasm_trap_t& trap, std::uint64_t code_shift) {
  const std::string message = message_of(trap);
  wasmtime_trap_code_t code = 0;
  const std::string_view known = wasmtime_trap_code(&trap, &code) ? sentence_of(code) : std::string_view{};
  WasmFrames frames;
  wasm_trap_trace(&trap, &frames);
  return {ErrorCode::guest_trap,
          fmt::format("The guest trapped: {}{}.{}", known.empty() ? printable(message) : std::string(known),
                      fault_of(message), lines_of(frames, code_shift)),
          {}};
}

std::string backtrace(const wasmtime_error_t& error, std::uint64_t code_shift) {
  WasmFrames frames;
  wasmtime_error_wasm_trace(&error, &frames);
  return lines_of(frames, code_shift);
}

}  // namespace driftwood
