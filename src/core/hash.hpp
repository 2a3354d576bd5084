// SHA-256, the content hash of programs, models and snapshots.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "core/error.hpp"

namespace driftwood {

/// A SHA-256 digest (FIPS 180-4).
struct Hash {
  std::array<std::byte, 32> bytes{};

  friend bool operator==(const Hash&, const Hash&) = default;
  friend auto operator<=>(const Hash&, const Hash&) = default;

  /// 64 lower-case hexadecimal digits.
  std::string to_hex() const;
  static Result<Hash> from_hex(std::string_view hex);
};

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
