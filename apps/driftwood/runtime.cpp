#include "runtime.hpp"

#include <system_error>
#include <utility>

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
                   "Share among actors that wait for the same model: each step more doubles what its prompts have")
      ->check(CLI::Range(-int{kMostPriority}, int{kMostPriority}))
      ->capture_default_str();
  command->add_option("--max-memory", max_memory, "Most linear memory that a guest may have")
      ->type_name("SIZE")
      ->capture_default_str();
  command
      ->add_option(
          "--max-weights", max_weights,
          "Most weights of models loaded at a time; those not used for longest are unloaded (default: no limit)")
      ->type_name("SIZE");
  command
      ->add_option("--max-mirrors", max_mirrors,
                   "Most memory of a card for copies of KV rows; 0: they are read over the bus (default: half of what "
                   "is free beside the weights)")
      ->type_name("SIZE");
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

Result<DeviceOptions> RuntimeOptions::device_options() const {
  DeviceOptions options{.threads = threads, .worker = worker_use(device_worker)};
  if (!max_mirrors.empty()) {
    DW_TRY_ASSIGN(options.mirror_budget, parse_size(max_mirrors));
  }
  return options;
}

Result<Runtime> Runtime::open(const RuntimeOptions& options, std::span<const std::filesystem::path> models) {
  Runtime runtime;
  EngineOptions engine;
  engine.cache = cache_folder("modules");
  DW_TRY_ASSIGN(runtime.engine, Engine::create(engine));
  ModelPoolOptions pool{.strict = options.strict, .packed_cache = cache_folder("packed").value_or("")};
  if (!options.max_weights.empty()) {
    DW_TRY_ASSIGN(pool.weights_budget, parse_size(options.max_weights));
  }
  DW_TRY_ASSIGN(DeviceOptions device, options.device_options());
  device.weights_bytes = bytes_of(models);
  DW_TRY_ASSIGN(runtime.device, open_device(options.device, device));
  runtime.models = std::make_unique<ModelPool>(*runtime.device, std::move(pool));
  return runtime;
}

}  // namespace driftwood::cli
