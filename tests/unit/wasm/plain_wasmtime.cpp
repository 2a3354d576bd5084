#include "plain_wasmtime.hpp"

#include <string_view>

#include "core/error.hpp"

namespace driftwood {

namespace {

std::string text_and_free(wasmtime_error_t* error, wasm_trap_t* trap) {
  const WasmErrorHandle error_handle(error);
  const WasmTrapHandle trap_handle(trap);
  WasmBytes message;
  if (error != nullptr) wasmtime_error_message(error, &message);
  if (trap != nullptr) wasm_trap_message(trap, &message);
  return std::string(text_of(message));
}

wasm_trap_t* enter(void* env, wasmtime_caller_t* caller, wasmtime_val_raw_t* slots, std::size_t /*count*/) {
  reinterpret_cast<HostFunction::Callback>(env)(wasmtime_context_get_data(wasmtime_caller_context(caller)), slots);
  return nullptr;
}

wasm_valtype_vec_t types_of(std::string_view letters) {
  std::vector<wasm_valtype_t*> types;
  for (const char letter : letters) {
    types.push_back(wasm_valtype_new(letter == 'i'   ? WASM_I32
                                     : letter == 'I' ? WASM_I64
                                     : letter == 'f' ? WASM_F32
                                                     : WASM_F64));
  }
  wasm_valtype_vec_t vector;
  wasm_valtype_vec_new(&vector, types.size(), types.data());
  return vector;
}

}  // namespace

PlainWasmtime::PlainWasmtime(std::span<const std::byte> module, std::span<const HostFunction> functions, void* host,
                             const std::vector<const char*>& arguments)
    : engine_(wasm_engine_new()),
      linker_(wasmtime_linker_new(engine_.get())),
      store_(wasmtime_store_new(engine_.get(), host, nullptr)),
      context_(wasmtime_store_context(store_.get())) {
  wasmtime_module_t* compiled = nullptr;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(module.data());
  if (auto* error = wasmtime_module_new(engine_.get(), bytes, module.size(), &compiled); error != nullptr) {
    failure_ = text_and_free(error, nullptr);
    return;
  }
  module_.reset(compiled);
  wasmtime_linker_allow_shadowing(linker_.get(), true);
  DW_CHECK(wasmtime_linker_define_wasi(linker_.get()) == nullptr);
  for (const HostFunction& function : functions) define(function);
  wasi_config_t* wasi = wasi_config_new();
  auto given = arguments;
  DW_CHECK(wasi_config_set_argv(wasi, given.size(), given.data()));
  DW_CHECK(wasmtime_context_set_wasi(context_, wasi) == nullptr);

  wasm_trap_t* trap = nullptr;
  auto* error = wasmtime_linker_instantiate(linker_.get(), context_, module_.get(), &instance_, &trap);
  if (error != nullptr || trap != nullptr) failure_ = text_and_free(error, trap);
}

void PlainWasmtime::define(const HostFunction& function) {
  wasm_valtype_vec_t parameters = types_of(function.parameters);
  wasm_valtype_vec_t results = types_of(function.results);
  const WasmFunctypeHandle type(wasm_functype_new(&parameters, &results));
  DW_CHECK(wasmtime_linker_define_func_unchecked(linker_.get(), function.module.data(), function.module.size(),
                                                 function.name.data(), function.name.size(), type.get(), enter,
                                                 reinterpret_cast<void*>(function.callback), nullptr) == nullptr);
}

bool PlainWasmtime::has_export(const std::string& name) {
  wasmtime_extern_t item;
  return wasmtime_instance_export_get(context_, &instance_, name.data(), name.size(), &item);
}

std::optional<std::int32_t> PlainWasmtime::call(const std::string& name, std::span<const std::int32_t> arguments) {
  wasmtime_extern_t item;
  if (!wasmtime_instance_export_get(context_, &instance_, name.data(), name.size(), &item)) return std::nullopt;
  std::vector<wasmtime_val_t> values;
  for (const std::int32_t argument : arguments) values.push_back({.kind = WASMTIME_I32, .of = {.i32 = argument}});
  const WasmFunctypeHandle type(wasmtime_func_type(context_, &item.of.func));
  const std::size_t results = wasm_functype_results(type.get())->size;
  wasmtime_val_t result{.kind = WASMTIME_I32, .of = {.i32 = 0}};
  wasm_trap_t* trap = nullptr;
  auto* error = wasmtime_func_call(context_, &item.of.func, values.data(), values.size(), &result, results, &trap);
  if (error == nullptr && trap == nullptr) return result.of.i32;
  text_and_free(error, trap);
  return std::nullopt;
}

std::span<std::byte> PlainWasmtime::memory() {
  wasmtime_extern_t item;
  DW_CHECK(wasmtime_instance_export_get(context_, &instance_, "memory", 6, &item));
  return std::as_writable_bytes(
      std::span(wasmtime_memory_data(context_, &item.of.memory), wasmtime_memory_data_size(context_, &item.of.memory)));
}

}  // namespace driftwood
