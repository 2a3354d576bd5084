#include "wasm/globals.hpp"

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <string_view>

namespace driftwood {

namespace {

wasmtime_valkind_t kind_of(WasmType type) {
  switch (type) {
    case WasmType::i32: return WASMTIME_I32;
    case WasmType::i64: return WASMTIME_I64;
    case WasmType::f32: return WASMTIME_F32;
    case WasmType::f64: return WASMTIME_F64;
    case WasmType::v128: return WASMTIME_V128;
  }
  return WASMTIME_I32;
}

wasmtime_global_t find(wasmtime_context_t* context, const wasmtime_instance_t& instance, const MutableGlobal& global) {
  const std::string name = fmt::format("{}{}", kGlobalExport, global.index);
  wasmtime_extern_t item;
  DW_CHECK(wasmtime_instance_export_get(context, &instance, name.data(), name.size(), &item));
  DW_CHECK(item.kind == WASMTIME_EXTERN_GLOBAL);
  return item.of.global;
}

Result<void> check(std::span<const MutableGlobal> globals, std::span<const WasmValue> values) {
  if (values.size() != globals.size()) {
    return fail(ErrorCode::incompatible, fmt::format("The state has {} mutable globals, but the program has {}.",
                                                     values.size(), globals.size()));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].type != globals[i].type) {
      return fail(ErrorCode::incompatible,
                  fmt::format("The state's mutable global {} is of type {}, but the program's is of type {}.", i,
                              to_string(values[i].type), to_string(globals[i].type)));
    }
  }
  return {};
}

}  // namespace

Globals::Globals(wasmtime_context_t* context, const wasmtime_instance_t& instance,
                 std::span<const MutableGlobal> globals)
    : context_(context), globals_(globals) {
  handles_.reserve(globals.size());
  for (const MutableGlobal& global : globals) handles_.push_back(find(context, instance, global));
}

// The values are copied as bytes, since a float that is loaded may lose a NaN's payload.
std::vector<WasmValue> Globals::read() const {
  std::vector<WasmValue> values;
  values.reserve(globals_.size());
  for (std::size_t i = 0; i < globals_.size(); ++i) {
    wasmtime_val_t held;
    wasmtime_global_get(context_, &handles_[i], &held);
    WasmValue& value = values.emplace_back(WasmValue{.type = globals_[i].type, .bits = {}});
    std::memcpy(value.bits.data(), &held.of, size_of(value.type));
  }
  return values;
}

Result<void> Globals::write(std::span<const WasmValue> values) const {
  DW_TRY(check(globals_, values));
  for (std::size_t i = 0; i < values.size(); ++i) {
    wasmtime_val_t held{.kind = kind_of(values[i].type), .of = {}};
    std::memcpy(&held.of, values[i].bits.data(), size_of(values[i].type));
    DW_CHECK(wasmtime_global_set(context_, &handles_[i], &held) == nullptr);
  }
  return {};
}

}  // namespace driftwood
