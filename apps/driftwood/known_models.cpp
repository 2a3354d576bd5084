#include "known_models.hpp"

#include "core/hash.hpp"
#include "model/model.hpp"

namespace driftwood::cli {

std::vector<KnownModel> known_models(const Manifest& manifest, const ThawOptions& options,
                                     std::vector<std::string>& notes) {
  std::vector<KnownModel> models;
  for (const Manifest::ModelReference& reference : manifest.models) {
    const auto found = find_model(reference, options, manifest.models.size() == 1, false);
    if (!found) {
      notes.push_back(found.error().to_string());
      continue;
    }
    const auto hash = hash_file(found->path);
    const auto summary = Model::summarize(found->path);
    if (!hash || !summary || *hash != reference.hash || !summary->supported) {
      notes.push_back("The file " + found->path.string() + " is not the model " + reference.name +
                      " of the snapshot, so its Contexts were not checked.");
      continue;
    }
    models.push_back({reference.name, *hash, summary->hyperparameters});
  }
  return models;
}

}  // namespace driftwood::cli
