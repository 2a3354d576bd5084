// The Engine, Device and ModelPool that a command's actors use, opened from its options. One thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "core/error.hpp"
#include "device/device.hpp"
#include "llm/model_pool.hpp"
#include "wasm/engine.hpp"

namespace driftwood::cli {

struct RuntimeOptions {
  std::string device = "auto";
  int threads = 0;
  std::string device_worker = "auto";  ///< auto, on or off: WorkerUse
  bool strict = false;                 ///< ForwardOptions::strict
  int priority = 0;                    ///< ForwardRequest::priority of each actor
  std::string max_memory = "4G";       ///< linear memory of each actor, as parse_size takes it
  std::string max_weights;             ///< ModelPoolOptions::weights_budget, likewise; empty: no limit
  std::string max_mirrors;             ///< DeviceOptions::mirror_budget, likewise; empty: what the device thinks right

  /// Adds --device, --device-worker, --threads, --strict, --priority, --max-memory, --max-weights and --max-mirrors.
  void add_to(CLI::App* command);
  /// max_memory in bytes: 64 KiB to 4 GiB. invalid_argument otherwise.
  Result<std::size_t> memory_bytes() const;
  /// What every device is opened with. invalid_argument: max_mirrors is no size.
  Result<DeviceOptions> device_options() const;
};

/// Outlives its actors.
struct Runtime {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Device> device;
  std::unique_ptr<ModelPool> models;

  /// `models`: files whose weights the device will have to hold, as far as they are known.
  static Result<Runtime> open(const RuntimeOptions& options, std::span<const std::filesystem::path> models);
};

}  // namespace driftwood::cli
