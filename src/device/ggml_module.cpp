#include "device/ggml_module.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <ggml.h>

#include "core/log.hpp"

namespace driftwood {
namespace {

void on_message(ggml_log_level level, const char* text, void*) {
  std::string_view message(text);
  while (message.ends_with('\n')) message.remove_suffix(1);
  if (!message.empty()) log(level >= GGML_LOG_LEVEL_WARN ? LogLevel::info : LogLevel::debug, message);
}

/// The module's symbols are found through it, those of its ggml-base too.
Result<void> check_version(std::string_view kind, void* module) {
  const auto version = reinterpret_cast<decltype(&ggml_version)>(dlsym(module, "ggml_version"));
  if (version != nullptr && std::string_view(version()) == ggml_version()) return {};
  return fail(ErrorCode::incompatible,
              fmt::format("The {} module is of ggml {}, and this program is of {}.", kind,
                          version == nullptr ? "an unknown version" : version(), ggml_version()));
}

}  // namespace

Result<ggml_backend_reg_t> load_ggml_module(std::string_view kind, const char* installed, const char* built) {
  void* module = dlopen(installed, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) module = dlopen(built, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    const char* const why = dlerror();
    return fail(ErrorCode::unavailable,
                fmt::format("The {} module cannot be loaded: {}.", kind, why == nullptr ? "no reason was given" : why));
  }
  DW_TRY(check_version(kind, module));
  if (const auto set_log = reinterpret_cast<decltype(&ggml_log_set)>(dlsym(module, "ggml_log_set"))) {
    set_log(on_message, nullptr);
  }
  const auto init = reinterpret_cast<ggml_backend_reg_t (*)()>(dlsym(module, "ggml_backend_init"));
  ggml_backend_reg_t const registry = init == nullptr ? nullptr : init();
  if (registry != nullptr) return registry;
  return fail(ErrorCode::unavailable, fmt::format("The {} module found no device that it can use.", kind));
}

Result<ggml_backend_dev_t> device_of_module(std::string_view kind, ggml_backend_reg_t registry, std::size_t number) {
  const std::size_t count = ggml_backend_reg_dev_count(registry);
  if (number < count) return ggml_backend_reg_dev_get(registry, number);
  return fail(ErrorCode::unavailable,
              fmt::format("The {} module uses {} devices, and number {} is not one of them.", kind, count, number));
}

}  // namespace driftwood
