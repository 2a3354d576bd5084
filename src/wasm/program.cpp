#include "wasm/program.hpp"

#include <fmt/format.h>
#include <wasmtime.h>

#include <fstream>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "core/bytes.hpp"
#include "core/log.hpp"
#include "wasm/compile.hpp"
#include "wasm/handles.hpp"
#include "wasm/linkage.hpp"
#include "wasm/module/module_facts.hpp"
#include "wasm/module_cache.hpp"

namespace driftwood {

namespace {

constexpr std::uintmax_t kLargestFile = kGiB;

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

/// The engine's cache, or the compiler and then the cache.
Result<CompiledModule> find_or_compile(Engine& engine, std::span<const std::byte> module, const Hash& hash,
                                       const ProgramOptions& options, bool& from_cache) {
  const ModuleCache* cache = engine.cache();
  if (cache != nullptr) {
    if (auto found = cache->load(engine, hash)) {
      from_cache = true;
      return *std::move(found);
    }
  }
  DW_TRY_ASSIGN(auto compiled, compile_module(engine, module, options));
  if (cache != nullptr) {
    if (auto stored = cache->store(compiled, hash); !stored) log(LogLevel::warning, stored.error().to_string());
  }
  return compiled;
}

}  // namespace

struct Program::State {
  Engine& engine;
  Hash hash;
  WasmModuleHandle module;
  bool from_cache = false;
  ModuleFacts facts;
  std::shared_ptr<const Image> first_image;
  ProgramKind kind = ProgramKind::library;
  std::vector<std::string> imports;

  std::mutex mutex;
  std::vector<std::unique_ptr<const Linkage>> linkages;  ///< under `mutex`; only grows
};

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;

Result<std::shared_ptr<const Program>> Program::compile(Engine& engine, std::span<const std::byte> module,
                                                        const ProgramOptions& options) {
  const Hash hash = hash_bytes(module);
  bool from_cache = false;
  DW_TRY_ASSIGN(auto compiled, find_or_compile(engine, module, hash, options, from_cache));
  DW_TRY_ASSIGN(auto facts, ModuleFacts::decode(compiled.facts));
  DW_TRY(check_freezable(facts, options));
  std::shared_ptr<const Image> first_image;
  if (facts.memory) {
    DW_TRY_ASSIGN(first_image, Image::create(facts.memory->minimum_bytes(), facts.data));
  }
  facts.data.clear();  // they borrow from `compiled`

  auto kind = kind_of(compiled.code.get());
  auto imports = imports_of(compiled.code.get());
  return std::shared_ptr<const Program>(
      new Program(std::unique_ptr<State>(new State{.engine = engine,
                                                   .hash = hash,
                                                   .module = std::move(compiled.code),
                                                   .from_cache = from_cache,
                                                   .facts = std::move(facts),
                                                   .first_image = std::move(first_image),
                                                   .kind = kind,
                                                   .imports = std::move(imports),
                                                   .mutex = {},
                                                   .linkages = {}})));
}

Result<std::shared_ptr<const Program>> Program::load(Engine& engine, const std::filesystem::path& path,
                                                     const ProgramOptions& options) {
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
  auto program = compile(engine, bytes, options);
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
bool Program::freezable() const noexcept { return state_->facts.freeze_obstacle.empty(); }
const std::string& Program::freeze_obstacle() const noexcept { return state_->facts.freeze_obstacle; }
const std::shared_ptr<const Image>& Program::first_image() const noexcept { return state_->first_image; }
const ModuleFacts& Program::facts() const noexcept { return state_->facts; }
bool Program::from_cache() const noexcept { return state_->from_cache; }
const std::vector<std::string>& Program::imports() const noexcept { return state_->imports; }
Engine& Program::engine() const noexcept { return state_->engine; }
wasmtime_module* Program::handle() const noexcept { return state_->module.get(); }

}  // namespace driftwood
