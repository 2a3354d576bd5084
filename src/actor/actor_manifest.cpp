#include "actor/actor_manifest.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hostcalls/guest_abi.hpp"

namespace driftwood {
namespace {

#if defined(__x86_64__)
constexpr const char* kArchitecture = "x86_64";
#elif defined(__aarch64__)
constexpr const char* kArchitecture = "aarch64";
#else
constexpr const char* kArchitecture = "other";
#endif

}  // namespace

NumericsFingerprint numerics_of(const Device* device) {
  if (device == nullptr) return {};
  const DeviceInfo& info = device->info();
  return {.device = info.numerics.device,
          .architecture = kArchitecture,
          .kernels = info.numerics.kernels,
          .features = info.numerics.features,
          .threads = static_cast<std::uint32_t>(info.numerics.threads)};
}

Manifest describe(const Program& program, const ActorOptions& options) {
  Manifest manifest;
  manifest.program = {program.hash(), options.program_name};
  manifest.abi_version = DW_ABI_VERSION;
  manifest.actor = options.name;
  manifest.fork_index = options.host.self.fork_index;
  manifest.wasi.arguments = options.wasi.arguments;
  manifest.wasi.environment = options.wasi.environment;
  for (const DirectoryGrant& folder : options.wasi.directories) {
    manifest.wasi.directories.push_back({folder.host, folder.guest, folder.read_only});
  }
  manifest.numerics = numerics_of(options.host.device);
  manifest.limits = {.memory_bytes = options.limits.memory_bytes,
                     .run_time_ms = static_cast<std::uint64_t>(options.limits.run_time.count()),
                     .table_elements = options.limits.table_elements};
  return manifest;
}

Result<ActorOptions> options_for(const Manifest& manifest, ActorOptions options) {
  options.name = manifest.actor;
  options.program_name = manifest.program.name;
  options.wasi.arguments = manifest.wasi.arguments;
  options.wasi.environment = manifest.wasi.environment;
  for (const Manifest::Directory& folder : manifest.wasi.directories) {
    if (std::ranges::find(options.wasi.directories, folder.guest, &DirectoryGrant::guest) !=
        options.wasi.directories.end()) {
      continue;
    }
    return fail(ErrorCode::not_found,
                fmt::format("The actor uses a folder as \"{}\" (it was {}), and none is granted to it under that name.",
                            folder.guest, folder.host));
  }
  options.host.self.fork_index = manifest.fork_index;
  options.determinism.reset();
  if (manifest.determinism) {
    options.determinism = Determinism{.seed = manifest.determinism->seed,
                                      .random_position = manifest.determinism->random_position,
                                      .clock_ns = static_cast<std::uint64_t>(manifest.determinism->clock_ns)};
  }
  return options;
}

std::vector<Manifest::ModelReference> to_manifest(std::span<const ModelHandle> handles) {
  std::vector<Manifest::ModelReference> models;
  for (const ModelHandle& handle : handles) models.push_back({handle.handle, handle.name, handle.hash});
  return models;
}

std::vector<ModelHandle> from_manifest(std::span<const Manifest::ModelReference> models) {
  std::vector<ModelHandle> handles;
  for (const Manifest::ModelReference& model : models) handles.push_back({model.handle, model.name, model.hash});
  return handles;
}

}  // namespace driftwood
