// Packed weights as files, so that processes share one copy and only the first one packs.
//
// A file holds nothing that the model's own file does not: it may be removed at any time. Only files that this user
// alone can have written are read, and only those that are whole (size, header, checksum); what their bytes mean
// follows from the model and from the layout's version, never from the file. Any thread, any number of processes: all
// that keep the same key at once map one file. With a file of a newer version those of older ones go, which nobody
// reads but an older program, from whose mappings they do not go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/private_folder.hpp"

namespace driftwood {

/// Bytes mapped from a file, read-only.
class MappedPack {
 public:
  MappedPack(const std::byte* mapped, std::size_t size, std::size_t header)
      : mapped_(mapped), size_(size), header_(header) {}
  ~MappedPack();
  MappedPack(const MappedPack&) = delete;
  MappedPack& operator=(const MappedPack&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {mapped_ + header_, size_ - header_}; }

 private:
  const std::byte* mapped_;
  std::size_t size_;
  std::size_t header_;
};

class PackedCache {
 public:
  /// Makes the folder, for this user alone, where it is missing. `version` is the layout's. unavailable: it cannot be
  /// made, or others may write it.
  static Result<PackedCache> open(const std::filesystem::path& folder, std::uint32_t version);

  /// The bytes kept for `key`, if they are there, whole and `size` long.
  std::unique_ptr<MappedPack> load(const Hash& key, std::size_t size) const;
  /// Keeps bytes for `key`; other processes see all of them or none. Where a whole file is there already, as another
  /// process has made it meanwhile, that one stays. unavailable: the file cannot be written.
  Result<void> store(const Hash& key, std::span<const std::byte> bytes) const;

 private:
  PackedCache(PrivateFolder folder, std::uint32_t version) : folder_(std::move(folder)), version_(version) {}
  std::filesystem::path file_of(const Hash& key) const;

  PrivateFolder folder_;
  std::uint32_t version_;
};

}  // namespace driftwood
