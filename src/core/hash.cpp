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
namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string Hash::to_hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    hex += kDigits[std::to_integer<unsigned>(b) >> 4];
    hex += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return hex;
}

Result<Hash> Hash::from_hex(std::string_view hex) {
  Hash hash;
  if (hex.size() != 2 * hash.bytes.size()) {
    return fail(ErrorCode::invalid_argument,
                "A hash has 64 hexadecimal digits, this one has " + std::to_string(hex.size()) + ".");
  }
  for (std::size_t i = 0; i < hash.bytes.size(); ++i) {
    const int high = hex_digit(hex[2 * i]);
    const int low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      return fail(ErrorCode::invalid_argument,
                  "A hash has lower-case hexadecimal digits only, not \"" + std::string(hex.substr(2 * i, 2)) + "\".");
    }
    hash.bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return hash;
}

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
