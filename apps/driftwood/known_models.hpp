// The models of a snapshot that are here, to hold its Contexts to. One thread.
#pragma once

#include <string>
#include <vector>

#include "context_scan.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot_host.hpp"

namespace driftwood::cli {

/// The models that the snapshot names, where their files are here and the ones they were. `notes` gets a sentence for
/// each of the others. Reads no weights.
std::vector<KnownModel> known_models(const Manifest& manifest, const ThawOptions& options,
                                     std::vector<std::string>& notes);

}  // namespace driftwood::cli
