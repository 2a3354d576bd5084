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

Result<void> grant_models(const std::vector<std::string>& specs, ModelPool& pool, Grants& grants) {
  if (specs.empty()) return {};
  DW_TRY_ASSIGN(const auto folder, model_store_path());
  const ModelStore store(folder);
  for (const std::string& spec : specs) {
    const std::size_t separator = spec.find('=');
    DW_TRY_ASSIGN(const ResolvedModel model,
                  store.resolve(separator == std::string::npos ? spec : spec.substr(separator + 1)));
    const std::string name = separator == std::string::npos ? model.name : spec.substr(0, separator);
    DW_TRY(pool.add(name, model.path));
    grants.models.insert(name);
  }
  return {};
}

}  // namespace driftwood::cli
