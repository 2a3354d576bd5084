#include "wasm/compile.hpp"

#include <fmt/format.h>
#include <wasmtime.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "wasm/module/rewrite.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

// https://webassembly.github.io/spec/core/binary/modules.html#binary-module
constexpr std::array<unsigned char, 4> kWasmMagic = {0x00, 'a', 's', 'm'};
constexpr std::array<unsigned char, 4> kModuleVersion = {1, 0, 0, 0};
constexpr std::array<unsigned char, 4> kComponentVersion = {0x0d, 0, 1, 0};

bool starts_with(std::span<const std::byte> bytes, std::size_t offset, std::span<const unsigned char> expected) {
  return bytes.size() >= offset + expected.size() &&
         std::memcmp(bytes.data() + offset, expected.data(), expected.size()) == 0;
}

bool is_text(std::string_view module) {
  const auto first = module.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (module[first] == '(' || module.substr(first).starts_with(";;"));
}

Result<void> check_header(std::span<const std::byte> module) {
  if (module.empty()) return fail(ErrorCode::invalid_argument, "The module is empty (0 bytes).");
  if (!starts_with(module, 0, kWasmMagic)) {
    std::string first;
    for (std::byte byte : module.first(std::min<std::size_t>(4, module.size()))) {
      first += fmt::format("{}{:02x}", first.empty() ? "" : " ", static_cast<unsigned>(byte));
    }
    return fail(ErrorCode::invalid_argument,
                fmt::format("This is not a WebAssembly module: it begins with {}, a module with 00 61 73 6d.", first));
  }
  if (starts_with(module, 4, kComponentVersion)) {
    return fail(ErrorCode::unsupported, "This is a WebAssembly component; only core modules can be run.");
  }
  if (!starts_with(module, 4, kModuleVersion)) {
    return fail(ErrorCode::invalid_argument, "The module's version is not 1, or its header is cut short.");
  }
  return {};
}

std::unexpected<Error> invalid_module(const wasmtime_error_t& error) {
  return fail(ErrorCode::invalid_argument, fmt::format("The WebAssembly module is not valid: {}.", describe(error)));
}

Result<CompiledModule> compile_binary(const Engine& engine, std::span<const std::byte> module,
                                      const ProgramOptions& options) {
  DW_TRY(check_header(module));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(module.data());
  if (const WasmErrorHandle error(wasmtime_module_validate(engine.handle(), bytes, module.size())); error) {
    return invalid_module(*error);
  }
  DW_TRY_ASSIGN(const auto rewritten, rewrite_module(module));
  DW_TRY(check_freezable(rewritten.facts, options));

  wasmtime_module_t* code = nullptr;
  const auto* binary = reinterpret_cast<const std::uint8_t*>(rewritten.binary.data());
  const WasmErrorHandle error(wasmtime_module_new(engine.handle(), binary, rewritten.binary.size(), &code));
  if (error) return invalid_module(*error);
  return CompiledModule{WasmModuleHandle(code), rewritten.facts.encode()};
}

}  // namespace

Result<CompiledModule> compile_module(const Engine& engine, std::span<const std::byte> module,
                                      const ProgramOptions& options) {
  const std::string_view text(reinterpret_cast<const char*>(module.data()), module.size());
  if (!is_text(text)) return compile_binary(engine, module, options);
#ifdef WASMTIME_FEATURE_WAT
  WasmBytes binary;
  if (const WasmErrorHandle error(wasmtime_wat2wasm(text.data(), text.size(), &binary)); error) {
    return fail(ErrorCode::invalid_argument, fmt::format("The WebAssembly text is not valid: {}.", describe(*error)));
  }
  return compile_binary(engine, std::as_bytes(std::span(binary.data, binary.size)), options);
#else
  return fail(ErrorCode::unsupported, "This build cannot read WebAssembly text; give the binary module.");
#endif
}

Result<void> check_freezable(const ModuleFacts& facts, const ProgramOptions& options) {
  if (options.freezable && !facts.freeze_obstacle.empty()) return fail(ErrorCode::unsupported, facts.freeze_obstacle);
  return {};
}

}  // namespace driftwood
