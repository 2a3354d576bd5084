// The SHA-256 of a model file, computed once and remembered.
//
// One small file for each model lies in the cache folder model-hashes (core/cache_folder.hpp). It holds for the path,
// the size and the stamp that it was made for: a file that replaced another one has another inode, though its times may
// be the same. A cache that can't be read or written only costs time. Any thread, any number of processes: entries are
// replaced whole.
#pragma once

#include <filesystem>
#include <functional>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "model/mapped_file.hpp"

namespace driftwood {

/// `progress` gets the fraction done, 0 to 1, now and then.
Hash model_hash(const std::filesystem::path& path, const MappedFile& file, const std::function<void(double)>& progress);

}  // namespace driftwood
