#include "device/cuda/module.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <ggml.h>

#include <string_view>

#include "core/log.hpp"

namespace driftwood::cuda {
namespace {

/// Where it lies in an installed tree: beside what else the program's or library's run path names.
constexpr const char* kInstalled = "driftwood-cuda.so";

void on_message(ggml_log_level level, const char* text, void*) {
  std::string_view message(text);
  while (message.ends_with('\n')) message.remove_suffix(1);
  if (!message.empty()) log(level >= GGML_LOG_LEVEL_WARN ? LogLevel::info : LogLevel::debug, message);
}

Result<ggml_backend_reg_t> load() {
  void* module = dlopen(kInstalled, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) module = dlopen(DRIFTWOOD_CUDA_MODULE, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    const char* const why = dlerror();
    return fail(ErrorCode::unavailable,
                fmt::format("The CUDA module cannot be loaded: {}.", why == nullptr ? "no reason was given" : why));
  }
  // The module has a ggml-base of its own, whose symbols are found through it.
  const auto version = reinterpret_cast<decltype(&ggml_version)>(dlsym(module, "ggml_version"));
  if (version == nullptr || std::string_view(version()) != ggml_version()) {
    return fail(ErrorCode::incompatible,
                fmt::format("The CUDA module is of ggml {}, and this program is of {}.",
                            version == nullptr ? "an unknown version" : version(), ggml_version()));
  }
  if (const auto set_log = reinterpret_cast<decltype(&ggml_log_set)>(dlsym(module, "ggml_log_set"))) {
    set_log(on_message, nullptr);
  }
  const auto init = reinterpret_cast<ggml_backend_reg_t (*)()>(dlsym(module, "ggml_backend_init"));
  ggml_backend_reg_t const registry = init == nullptr ? nullptr : init();
  if (registry == nullptr) return fail(ErrorCode::unavailable, "The CUDA module found no device that it can use.");
  return registry;
}

}  // namespace

Result<ggml_backend_dev_t> backend_device(int number) {
  static const Result<ggml_backend_reg_t> registry = load();
  if (!registry) return std::unexpected(registry.error());
  const std::size_t count = ggml_backend_reg_dev_count(*registry);
  if (static_cast<std::size_t>(number) >= count) {
    return fail(ErrorCode::unavailable,
                fmt::format("The CUDA module uses {} devices, and cuda:{} is not one of them.", count, number));
  }
  return ggml_backend_reg_dev_get(*registry, static_cast<std::size_t>(number));
}

}  // namespace driftwood::cuda
