#include "wasm/linkage.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "wasm/store_data.hpp"
#include "wasm/trap.hpp"
#include "wasm/wasi.hpp"
#include "wasm/wasi_clock.hpp"
#include "wasm/wasi_random.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kMostNamed = 100;

// What compiled code calls. `env` is the HostFunction's callback itself, so that little is read on the way.
wasm_trap_t* enter_host(void* env, wasmtime_caller_t* caller, wasmtime_val_raw_t* slots, std::size_t /*count*/) {
  const auto callback = reinterpret_cast<HostFunction::Callback>(env);
  const auto* data = static_cast<const StoreData*>(wasmtime_context_get_data(wasmtime_caller_context(caller)));
  callback(data->host, slots);
  return nullptr;
}

/// Likewise for functions of this folder, whose host data is the StoreData.
wasm_trap_t* enter_own(void* env, wasmtime_caller_t* caller, wasmtime_val_raw_t* slots, std::size_t /*count*/) {
  const auto callback = reinterpret_cast<HostFunction::Callback>(env);
  callback(wasmtime_context_get_data(wasmtime_caller_context(caller)), slots);
  return nullptr;
}

std::optional<wasm_valkind_t> kind_of(char letter) {
  switch (letter) {
    case 'i': return WASM_I32;
    case 'I': return WASM_I64;
    case 'f': return WASM_F32;
    case 'F': return WASM_F64;
    default: return std::nullopt;
  }
}

bool append_types(std::string_view letters, wasm_valtype_vec_t& types) {
  std::vector<wasm_valtype_t*> made;
  for (char letter : letters) {
    const auto kind = kind_of(letter);
    if (!kind) {
      for (wasm_valtype_t* type : made) wasm_valtype_delete(type);
      return false;
    }
    made.push_back(wasm_valtype_new(*kind));
  }
  wasm_valtype_vec_new(&types, made.size(), made.data());
  return true;
}

Result<WasmFunctypeHandle> type_of(const HostFunction& function) {
  wasm_valtype_vec_t parameters{};
  wasm_valtype_vec_t results{};
  if (function.callback == nullptr || function.results.size() > 1 || !append_types(function.parameters, parameters) ||
      !append_types(function.results, results)) {
    wasm_valtype_vec_delete(&parameters);
    return fail(
        ErrorCode::internal,
        fmt::format("The host function {}.{} has no callback, or a type (\"{}\" to \"{}\") other than letters of "
                    "iIfF to at most one.",
                    function.module, function.name, function.parameters, function.results));
  }
  return WasmFunctypeHandle(wasm_functype_new(&parameters, &results));
}

Result<void> define(wasmtime_linker_t* linker, const HostFunction& function, wasmtime_func_unchecked_callback_t enter) {
  DW_TRY_ASSIGN(const auto type, type_of(function));
  const WasmErrorHandle error(wasmtime_linker_define_func_unchecked(
      linker, function.module.data(), function.module.size(), function.name.data(), function.name.size(), type.get(),
      enter, reinterpret_cast<void*>(function.callback), nullptr));
  if (error) {
    return fail(ErrorCode::internal, fmt::format("The host function {}.{} cannot be defined: {}.", function.module,
                                                 function.name, describe(*error)));
  }
  return {};
}

/// The imports that `linker` does not have, as "module.name".
std::vector<std::string> missing_imports(const Program& program, const wasmtime_linker_t* linker) {
  const WasmStoreHandle scratch(wasmtime_store_new(program.engine().handle(), nullptr, nullptr));
  wasmtime_context_t* context = wasmtime_store_context(scratch.get());
  WasmImports imports;
  wasmtime_module_imports(program.handle(), &imports);
  std::vector<std::string> missing;
  for (const wasm_importtype_t* import : imports) {
    const auto module = text_of(*wasm_importtype_module(import));
    const auto name = text_of(*wasm_importtype_name(import));
    wasmtime_extern_t item;
    if (wasmtime_linker_get(linker, context, module.data(), module.size(), name.data(), name.size(), &item)) {
      wasmtime_extern_delete(&item);
    } else {
      missing.push_back(printable(fmt::format("{}.{}", module, name)));
    }
  }
  return missing;
}

Error link_error(const Program& program, const wasmtime_linker_t* linker, const wasmtime_error_t& error) {
  auto missing = missing_imports(program, linker);
  const std::size_t count = missing.size();
  if (count > kMostNamed) {
    missing.resize(kMostNamed);
    missing.push_back("...");
  }
  if (missing.empty()) {
    return {ErrorCode::invalid_argument, fmt::format("The program cannot be linked: {}.", describe(error)), {}};
  }
  return {ErrorCode::not_found,
          fmt::format("The program imports {} that the host does not have: {}.",
                      count == 1 ? "something" : fmt::format("{} things", count), fmt::join(missing, ", ")),
          {}};
}

}  // namespace

Linkage::Linkage(std::span<const HostFunction> functions, bool uses_wasi, WasmInstancePreHandle instance_pre)
    : functions_(functions.begin(), functions.end()), uses_wasi_(uses_wasi), instance_pre_(std::move(instance_pre)) {}

Result<std::unique_ptr<const Linkage>> Linkage::create(const Program& program,
                                                       std::span<const HostFunction> functions) {
  const WasmLinkerHandle linker(wasmtime_linker_new(program.engine().handle()));
  const std::string wasi_prefix = std::string(kWasiModule) + ".";
  const bool uses_wasi = std::ranges::any_of(
      program.imports(), [&](const std::string& import) { return import.starts_with(wasi_prefix); });
  if (uses_wasi) {
    if (const WasmErrorHandle error(wasmtime_linker_define_wasi(linker.get())); error) {
      return fail(ErrorCode::internal, fmt::format("WASI could not be defined: {}.", describe(*error)));
    }
    wasmtime_linker_allow_shadowing(linker.get(), true);
    for (const HostFunction& function : wasi_clock_functions()) DW_TRY(define(linker.get(), function, enter_own));
    for (const HostFunction& function : wasi_random_functions()) DW_TRY(define(linker.get(), function, enter_own));
  }
  for (const HostFunction& function : functions) DW_TRY(define(linker.get(), function, enter_host));

  wasmtime_instance_pre_t* instance_pre = nullptr;
  if (const WasmErrorHandle error(wasmtime_linker_instantiate_pre(linker.get(), program.handle(), &instance_pre));
      error) {
    return std::unexpected(link_error(program, linker.get(), *error));
  }
  return std::unique_ptr<const Linkage>(new Linkage(functions, uses_wasi, WasmInstancePreHandle(instance_pre)));
}

bool Linkage::made_from(std::span<const HostFunction> functions) const noexcept {
  return std::ranges::equal(functions_, functions, [](const HostFunction& a, const HostFunction& b) {
    return a.callback == b.callback && a.module == b.module && a.name == b.name && a.parameters == b.parameters &&
           a.results == b.results;
  });
}

}  // namespace driftwood
