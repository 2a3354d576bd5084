// Ed25519 signatures over a snapshot's root hash (RFC 8032), and the PEM files that keys are kept in.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "core/hash.hpp"

namespace driftwood {

/// Says who vouches for snapshots.
struct PublicKey {
  std::array<std::byte, 32> bytes{};

  /// From a PEM file ("BEGIN PUBLIC KEY"). not_found, or invalid_argument: not an Ed25519 key.
  static Result<PublicKey> read(const std::filesystem::path& pem_file);
  /// 64 hexadecimal digits.
  std::string to_hex() const;
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

struct Signature {
  PublicKey key;                      ///< of the signer
  std::array<std::byte, 64> bytes{};  ///< over "driftwood snapshot signature 1\n" and the root hash
  friend bool operator==(const Signature&, const Signature&) = default;
};

/// A private key. Immutable; any thread.
class SigningKey {
 public:
  /// From a PEM file ("BEGIN PRIVATE KEY"), not encrypted. not_found, or invalid_argument: not an Ed25519 key.
  static Result<SigningKey> read(const std::filesystem::path& pem_file);
  /// A fresh one from the system's generator.
  static SigningKey generate();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  PublicKey public_key() const;
  Signature sign(const Hash& root) const;
  /// Writes both keys: `pem_file` (mode 0600) and `pem_file` with ".pub" added. Replaces nothing: unavailable.
  Result<void> write(const std::filesystem::path& pem_file) const;

 private:
  struct State;
  explicit SigningKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// True when the key's owner signed this root.
bool verify(const Signature& signature, const Hash& root);

}  // namespace driftwood
