#include "catalogue.hpp"

#include <cstddef>

extern "C" const unsigned char driftwood_model_requirements[];
extern "C" const std::size_t driftwood_model_requirements_size;

namespace driftwood::cli {
namespace {

/// The rest of the line "# <key>: <value>".
std::string fact(std::string_view requirements, std::string_view key) {
  const std::string start = "# " + std::string(key) + ": ";
  const std::size_t found = requirements.find(start);
  DW_CHECK(found != std::string_view::npos);
  const std::size_t value = found + start.size();
  return std::string(requirements.substr(value, requirements.find('\n', value) - value));
}

CatalogueModel read_catalogue() {
  const std::string requirements(reinterpret_cast<const char*>(driftwood_model_requirements),
                                 driftwood_model_requirements_size);
  auto hash = Hash::from_hex(fact(requirements, "sha256"));
  DW_CHECK(hash.has_value());
  return {fact(requirements, "name"),
          fact(requirements, "title"),
          fact(requirements, "file"),
          std::stoull(fact(requirements, "bytes")),
          *hash,
          requirements};
}

}  // namespace

const CatalogueModel& default_model() {
  static const CatalogueModel model = read_catalogue();
  return model;
}

const CatalogueModel* find_catalogue_model(std::string_view name) {
  return name == default_model().name ? &default_model() : nullptr;
}

}  // namespace driftwood::cli
