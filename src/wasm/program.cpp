#include "wasm/program.hpp"

#include <fmt/format.h>
#include <wasmtime.h>

#include <array>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/bytes.hpp"
#include "core/log.hpp"
#include "wasm/handles.hpp"
#include "wasm/linkage.hpp"
#include "wasm/module_cache.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

constexpr std::uintmax_t kLargestFile = kGiB;

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

Result<WasmModuleHandle> compile_binary(const Engine& engine, std::span<const std::byte> module) {
  DW_TRY(check_header(module));
  wasmtime_module_t* compiled = nullptr;
  const WasmErrorHandle error(wasmtime_module_new(engine.handle(), reinterpret_cast<const std::uint8_t*>(module.data()),
                                                  module.size(), &compiled));
  if (error) {
    return fail(ErrorCode::invalid_argument, fmt::format("The WebAssembly module is not valid: {}.", describe(*error)));
  }
  return WasmModuleHandle(compiled);
}

Result<WasmModuleHandle> compile_any(const Engine& engine, std::span<const std::byte> module) {
  const std::string_view text(reinterpret_cast<const char*>(module.data()), module.size());
  if (!is_text(text)) return compile_binary(engine, module);
#ifdef WASMTIME_FEATURE_WAT
  WasmBytes binary;
  if (const WasmErrorHandle error(wasmtime_wat2wasm(text.data(), text.size(), &binary)); error) {
    return fail(ErrorCode::invalid_argument, fmt::format("The WebAssembly text is not valid: {}.", describe(*error)));
  }
  return compile_binary(engine, std::as_bytes(std::span(binary.data, binary.size)));
#else
  return fail(ErrorCode::unsupported, "This build cannot read WebAssembly text; give the binary module.");
#endif
}

std::vector<std::string> imports_of(const wasmtime_module_t* module) {
  WasmImports imports;
  wasmtime_module_imports(module, &imports);
  std::vector<std::string> names;
  for (const wasm_importtype_t* import : imports) {
    names.push_back(
        fmt::format("{}.{}", text_of(*wasm_importtype_module(import)), text_of(*wasm_importtype_name(import))));
  }
  return names;
}

ProgramKind kind_of(const wasmtime_module_t* module) {
  WasmExports exports;
  wasmtime_module_exports(module, &exports);
  auto kind = ProgramKind::library;
  for (const wasm_exporttype_t* item : exports) {
    if (wasm_externtype_kind(wasm_exporttype_type(item)) != WASM_EXTERN_FUNC) continue;
    const auto name = text_of(*wasm_exporttype_name(item));
    if (name == "_start") return ProgramKind::command;
    if (name == "driftwood_receive") kind = ProgramKind::reactor;
  }
  return kind;
}

}  // namespace

struct Program::State {
  Engine& engine;
  Hash hash;
  WasmModuleHandle module;
  bool from_cache = false;
  ProgramKind kind = ProgramKind::library;
  std::vector<std::string> imports;

  std::mutex mutex;
  std::vector<std::unique_ptr<const Linkage>> linkages;  ///< under `mutex`; only grows
};

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;

Result<std::shared_ptr<const Program>> Program::compile(Engine& engine, std::span<const std::byte> module) {
  const Hash hash = hash_bytes(module);
  const ModuleCache* cache = engine.cache();
  WasmModuleHandle compiled = cache != nullptr ? cache->load(engine, hash) : nullptr;
  const bool from_cache = compiled != nullptr;
  if (!from_cache) {
    DW_TRY_ASSIGN(compiled, compile_any(engine, module));
    if (cache != nullptr) {
      if (auto stored = cache->store(compiled.get(), hash); !stored) {
        log(LogLevel::warning, stored.error().to_string());
      }
    }
  }
  auto state = std::unique_ptr<State>(new State{.engine = engine,
                                                .hash = hash,
                                                .module = std::move(compiled),
                                                .from_cache = from_cache,
                                                .kind = {},
                                                .imports = {},
                                                .mutex = {},
                                                .linkages = {}});
  state->kind = kind_of(state->module.get());
  state->imports = imports_of(state->module.get());
  return std::shared_ptr<const Program>(new Program(std::move(state)));
}

Result<std::shared_ptr<const Program>> Program::load(Engine& engine, const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) {
    return fail(ErrorCode::not_found, fmt::format("The module {} cannot be read: {}.", path.string(), error.message()));
  }
  if (size > kLargestFile) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The module {} has {} bytes; at most {} are read.", path.string(), size, kLargestFile));
  }
  std::vector<std::byte> bytes(size);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size))) {
    return fail(ErrorCode::not_found, fmt::format("The module {} cannot be read.", path.string()));
  }
  auto program = compile(engine, bytes);
  if (!program) return std::unexpected(std::move(program).error().with_context("while loading " + path.string()));
  return program;
}

Result<const Linkage*> Program::link(std::span<const HostFunction> functions) const {
  const std::lock_guard lock(state_->mutex);
  for (const auto& linkage : state_->linkages) {
    if (linkage->made_from(functions)) return linkage.get();
  }
  DW_TRY_ASSIGN(auto linkage, Linkage::create(*this, functions));
  return state_->linkages.emplace_back(std::move(linkage)).get();
}

const Hash& Program::hash() const noexcept { return state_->hash; }
ProgramKind Program::kind() const noexcept { return state_->kind; }
bool Program::from_cache() const noexcept { return state_->from_cache; }
const std::vector<std::string>& Program::imports() const noexcept { return state_->imports; }
Engine& Program::engine() const noexcept { return state_->engine; }
wasmtime_module* Program::handle() const noexcept { return state_->module.get(); }

}  // namespace driftwood
