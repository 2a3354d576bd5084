#include "core/hash.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/bytes.hpp"
#include "core/handle.hpp"

namespace driftwood {

struct Hasher::State {
  Handle<EVP_MD_CTX, EVP_MD_CTX_free> context{EVP_MD_CTX_new()};
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  // Without this the first digest reads the system's configuration, which takes milliseconds of a cold start.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  DW_CHECK(state_->context != nullptr);
  DW_CHECK(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::span<const std::byte> piece) {
  DW_CHECK(EVP_DigestUpdate(state_->context.get(), piece.data(), piece.size()) == 1);
}

Hash Hasher::finish() {
  Hash hash;
  unsigned size = 0;
  DW_CHECK(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(hash.bytes.data()), &size) == 1);
  DW_CHECK(size == hash.bytes.size());
  DW_CHECK(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
  return hash;
}

Hash hash_bytes(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

Result<Hash> hash_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable;
    return fail(code, "The file \"" + path.string() + "\" could not be opened: " + std::strerror(errno) + ".");
  }
  Hasher hasher;
  std::vector<char> block(kMiB);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    hasher.update(std::as_bytes(std::span(block.data(), static_cast<std::size_t>(file.gcount()))));
  }
  if (file.bad()) {
    return fail(ErrorCode::unavailable, "The file \"" + path.string() + "\" could not be read to its end.");
  }
  return hasher.finish();
}

}  // namespace driftwood
