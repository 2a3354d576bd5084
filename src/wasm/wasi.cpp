#include "wasm/wasi.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/handle.hpp"
#include "wasm/handles.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

Result<const char*> c_string(std::string_view what, const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The {} \"{}\" holds a zero byte, which WASI does not allow.", what, printable(text)));
  }
  return text.c_str();
}

std::unexpected<Error> not_utf8(std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("The guest's {} are not all UTF-8.", what));
}

}  // namespace

Result<void> set_wasi(wasmtime_context_t* context, const WasiOptions& options) {
  Handle<wasi_config_t, wasi_config_delete> config(wasi_config_new());

  std::vector<const char*> arguments;
  for (const auto& argument : options.arguments) {
    DW_TRY_ASSIGN(arguments.emplace_back(), c_string("argument", argument));
  }
  if (!wasi_config_set_argv(config.get(), arguments.size(), arguments.data())) return not_utf8("arguments");

  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : options.environment) {
    DW_TRY_ASSIGN(names.emplace_back(), c_string("environment variable", name));
    DW_TRY_ASSIGN(values.emplace_back(), c_string("environment value", value));
  }
  if (!wasi_config_set_env(config.get(), names.size(), names.data(), values.data())) {
    return not_utf8("environment variables");
  }

  for (const auto& grant : options.directories) {
    DW_TRY_ASSIGN(const char* host, c_string("folder", grant.host));
    DW_TRY_ASSIGN(const char* guest, c_string("folder", grant.guest));
    if (!wasi_config_preopen_dir(config.get(), host, guest, !grant.read_only)) {
      return fail(ErrorCode::not_found,
                  fmt::format("The folder \"{}\", granted to the guest as \"{}\", cannot be opened.",
                              printable(grant.host), printable(grant.guest)));
    }
  }

  if (options.inherit_stdin) wasi_config_inherit_stdin(config.get());
  if (options.inherit_stdout) wasi_config_inherit_stdout(config.get());
  if (options.inherit_stderr) wasi_config_inherit_stderr(config.get());
  if (const WasmErrorHandle error(wasmtime_context_set_wasi(context, config.release())); error) {
    return fail(ErrorCode::internal, fmt::format("WASI could not be set up: {}.", describe(*error)));
  }
  return {};
}

}  // namespace driftwood
