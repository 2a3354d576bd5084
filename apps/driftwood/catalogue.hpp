// Models that Driftwood can fetch by itself, pinned by hash: their facts come from
// third_party/model-requirements.txt, which is part of the binary. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/hash.hpp"

namespace driftwood::cli {

/// A model file inside a Python package. Package and file are both pinned by SHA-256.
struct CatalogueModel {
  std::string name;  ///< as people say it: "smollm2"
  std::string title;
  std::string file;          ///< the file's name in the package and in the store
  std::uint64_t bytes = 0;   ///< of the file
  Hash hash;                 ///< of the file
  std::string requirements;  ///< what pip needs to fetch the package, its hash included
};

/// The model that is used when none is named.
const CatalogueModel& default_model();
/// The catalogue's entry of that name, or null.
const CatalogueModel* find_catalogue_model(std::string_view name);

}  // namespace driftwood::cli
