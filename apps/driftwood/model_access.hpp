// From what was said on the command line to a model file that is there. One thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "hostcalls/guest_host.hpp"
#include "llm/model_pool.hpp"
#include "model_store.hpp"

namespace driftwood::cli {

struct ModelAccess {
  bool offline = false;       ///< fail with not_found instead of fetching
  bool show_progress = true;  ///< on a terminal
};

/// A name or path (empty: the default model); one of the catalogue that is not here yet is fetched, which is said.
Result<ResolvedModel> find_or_fetch_model(const std::string& name_or_path, const ModelAccess& access);
/// The models of "NAME" and "NAME=PATH", under the names that guests will know. not_found: one is not here.
Result<std::vector<ResolvedModel>> find_models(const std::vector<std::string>& specs);
std::vector<std::filesystem::path> files_of(std::span<const ResolvedModel> models);
/// Makes the models known to `pool`, and grants them.
Result<void> grant_models(std::span<const ResolvedModel> models, ModelPool& pool, Grants& grants);
/// Fetches with a progress bar; the path of the model's file.
Result<std::filesystem::path> fetch_with_progress(const ModelStore& store, const CatalogueModel& model,
                                                  bool show_progress);

}  // namespace driftwood::cli
