#include "runtime.hpp"

#include <system_error>

#include "core/bytes.hpp"
#include "core/cache_folder.hpp"
#include "llm/forward_request.hpp"
#include "options.hpp"

namespace driftwood::cli {

void RuntimeOptions::add_to(CLI::App* command) {
  command
      ->add_option("--device", device,
                   "What computes: auto, cpu, vulkan[:N], cuda[:N], metal or null; \"driftwood devices\" lists them")
      ->type_name("NAME")
      ->capture_default_str();
  command
      ->add_option("--device-worker", device_worker,
                   "Whether a process of its own computes, so that a fault of a driver ends no actor: auto, on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->type_name("WHEN")
      ->capture_default_str();
  command->add_option("--threads", threads, "Host threads that compute (0: one for each core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--strict", strict, "Results do not depend on what else is computed, whatever it costs");
  command
      ->add_option("--priority", priority,
                   "Share of the passes among actors that wait for the same model: each step more doubles it")
      ->check(CLI::Range(-int{kMostPriority}, int{kMostPriority}))
      ->capture_default_str();
  command->add_option("--max-memory", max_memory, "Most linear memory that a guest may have")
      ->type_name("SIZE")
      ->capture_default_str();
}

Result<std::size_t> RuntimeOptions::memory_bytes() const {
  DW_TRY_ASSIGN(const std::size_t bytes, parse_size(max_memory));
  if (bytes < 64 * kKiB || bytes > 4 * kGiB) {
    return fail(ErrorCode::invalid_argument,
                "The linear memory (--max-memory " + max_memory + ") is not between one page of 64K and 4G.");
  }
  return bytes;
}

namespace {

WorkerUse worker_use(std::string_view word) {
  if (word == "on") return WorkerUse::on;
  return word == "off" ? WorkerUse::off : WorkerUse::automatic;
}

std::uint64_t bytes_of(std::span<const std::filesystem::path> files) {
  std::uint64_t bytes = 0;
  for (const auto& file : files) {
    std::error_code unreadable;  // which opening it tells better
    const std::uintmax_t size = std::filesystem::file_size(file, unreadable);
    if (!unreadable) bytes += size;
  }
  return bytes;
}

}  // namespace

Result<Runtime> Runtime::open(const RuntimeOptions& options, std::span<const std::filesystem::path> models) {
  Runtime runtime;
  EngineOptions engine;
  engine.cache = cache_folder("modules");
  DW_TRY_ASSIGN(runtime.engine, Engine::create(engine));
  DW_TRY_ASSIGN(runtime.device, open_device(options.device, {.threads = options.threads,
                                                             .weights_bytes = bytes_of(models),
                                                             .worker = worker_use(options.device_worker)}));
  runtime.models = std::make_unique<ModelPool>(
      *runtime.device, ModelPoolOptions{.strict = options.strict, .packed_cache = cache_folder("packed").value_or("")});
  return runtime;
}

}  // namespace driftwood::cli
