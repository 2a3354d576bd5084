#include "model_access.hpp"

#include "console.hpp"
#include "core/bytes.hpp"
#include "model_fetch.hpp"
#include "paths.hpp"
#include "progress.hpp"

namespace driftwood::cli {

Result<std::filesystem::path> fetch_with_progress(const ModelStore& store, const CatalogueModel& model,
                                                  bool show_progress) {
  ProgressBar bar("fetching " + model.name, show_progress);
  return fetch_model(store, model, {.progress = [&](std::uint64_t done, std::uint64_t all) {
                       bar.update(static_cast<double>(done) / static_cast<double>(all), format_bytes(done));
                     }});
}

Result<ResolvedModel> find_or_fetch_model(const std::string& name_or_path, const ModelAccess& access) {
  DW_TRY_ASSIGN(const auto folder, model_store_path());
  const ModelStore store(folder);
  const std::string wanted = name_or_path.empty() ? default_model().name : name_or_path;
  auto found = store.resolve(wanted);
  const CatalogueModel* known = find_catalogue_model(wanted);
  if (found || known == nullptr || found.error().code != ErrorCode::not_found) return found;
  if (access.offline) {
    return fail(ErrorCode::not_found, "The model " + known->name +
                                          " is not here, and --offline forbids to fetch it. "
                                          "Put the file " +
                                          known->file + " into \"" + folder.string() +
                                          "\", or name a GGUF file of your own.");
  }
  print_note("The model " + known->name + " (" + format_bytes(known->bytes) + ") is not here yet; fetching it.");
  DW_TRY_ASSIGN(auto path, fetch_with_progress(store, *known, access.show_progress));
  return ResolvedModel{known->name, std::move(path)};
}

namespace {

/// The model of "NAME" or "NAME=PATH", with the name that it is granted under.
Result<ResolvedModel> resolve_spec(const ModelStore& store, const std::string& spec) {
  const std::size_t separator = spec.find('=');
  if (separator == std::string::npos) return store.resolve(spec);
  DW_TRY_ASSIGN(ResolvedModel model, store.resolve(spec.substr(separator + 1)));
  model.name = spec.substr(0, separator);
  return model;
}

}  // namespace

Result<std::vector<ResolvedModel>> find_models(const std::vector<std::string>& specs) {
  std::vector<ResolvedModel> models;
  if (specs.empty()) return models;
  DW_TRY_ASSIGN(const auto folder, model_store_path());
  const ModelStore store(folder);
  for (const std::string& spec : specs) {
    DW_TRY_ASSIGN(auto model, resolve_spec(store, spec));
    models.push_back(std::move(model));
  }
  return models;
}

std::vector<std::filesystem::path> files_of(std::span<const ResolvedModel> models) {
  std::vector<std::filesystem::path> files;
  for (const ResolvedModel& model : models) files.push_back(model.path);
  return files;
}

Result<void> grant_models(std::span<const ResolvedModel> models, ModelPool& pool, Grants& grants) {
  for (const ResolvedModel& model : models) {
    DW_TRY(pool.add(model.name, model.path));
    grants.models.insert(model.name);
  }
  return {};
}

}  // namespace driftwood::cli
