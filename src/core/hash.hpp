// SHA-256, the content hash of programs, models and snapshots: what computes a Hash (driftwood/hash.hpp).
#pragma once

#include <driftwood/hash.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "core/error.hpp"

namespace driftwood {

/// Hashes a stream of pieces. One thread at a time.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::span<const std::byte> piece);
  /// The digest of all pieces; the hasher starts anew.
  Hash finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Hash hash_bytes(std::span<const std::byte> bytes);
Result<Hash> hash_file(const std::filesystem::path& path);

}  // namespace driftwood
