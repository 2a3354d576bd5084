#include "snapshot/signature.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "core/handle.hpp"
#include "snapshot/file.hpp"

namespace driftwood {
namespace {

using Key = Handle<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using Bio = Handle<BIO, BIO_free_all>;

constexpr std::string_view kDomain = "driftwood snapshot signature 1\n";
constexpr std::size_t kMostPem = 16 * 1024;

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }

std::vector<std::byte> signed_text(const Hash& root) {
  std::vector<std::byte> text(kDomain.size() + root.bytes.size());
  std::memcpy(text.data(), kDomain.data(), kDomain.size());
  std::memcpy(text.data() + kDomain.size(), root.bytes.data(), root.bytes.size());
  return text;
}

/// Asks for no passphrase.
int no_passphrase(char*, int, int, void*) { return -1; }

template <typename Read>
Result<Key> read_key(const std::filesystem::path& path, const char* what, Read read) {
  DW_TRY_ASSIGN(const File file, File::open(path));
  DW_TRY_ASSIGN(const std::uint64_t size, file.size());
  std::vector<std::byte> pem(size <= kMostPem ? size : 0);
  DW_TRY(file.read_at(0, pem));
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  DW_CHECK(bio != nullptr);
  Key key(read(bio.get()));
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The file {} is not an Ed25519 {} key in PEM without a passphrase.", path.string(), what));
  }
  return key;
}

PublicKey public_part(EVP_PKEY* key) {
  PublicKey part;
  std::size_t size = part.bytes.size();
  DW_CHECK(EVP_PKEY_get_raw_public_key(key, raw(part.bytes.data()), &size) == 1 && size == part.bytes.size());
  return part;
}

Result<void> write_pem(const std::filesystem::path& path, const BIO* bio) {
  BUF_MEM* memory = nullptr;
  BIO_get_mem_ptr(const_cast<BIO*>(bio), &memory);
  DW_CHECK(memory != nullptr);
  DW_TRY_ASSIGN(File file, File::create(path));
  DW_TRY(file.write_at(0, std::as_bytes(std::span(memory->data, memory->length))));
  return file.sync();
}

}  // namespace

Result<PublicKey> PublicKey::read(const std::filesystem::path& pem_file) {
  DW_TRY_ASSIGN(const Key key, read_key(pem_file, "public", [](BIO* bio) {
                  return PEM_read_bio_PUBKEY(bio, nullptr, no_passphrase, nullptr);
                }));
  return public_part(key.get());
}

std::string PublicKey::to_hex() const { return Hash{bytes}.to_hex(); }

struct SigningKey::State {
  Key key;
};

SigningKey::SigningKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

Result<SigningKey> SigningKey::read(const std::filesystem::path& pem_file) {
  DW_TRY_ASSIGN(Key key, read_key(pem_file, "private", [](BIO* bio) {
                  return PEM_read_bio_PrivateKey(bio, nullptr, no_passphrase, nullptr);
                }));
  return SigningKey(std::make_unique<State>(std::move(key)));
}

SigningKey SigningKey::generate() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  DW_CHECK(key != nullptr);
  return SigningKey(std::make_unique<State>(std::move(key)));
}

PublicKey SigningKey::public_key() const { return public_part(state_->key.get()); }

Signature SigningKey::sign(const Hash& root) const {
  Signature signature{.key = public_key()};
  const auto text = signed_text(root);
  const KeyContext context(EVP_MD_CTX_new());
  std::size_t size = signature.bytes.size();
  DW_CHECK(context != nullptr && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, state_->key.get()) == 1 &&
           EVP_DigestSign(context.get(), raw(signature.bytes.data()), &size, raw(text.data()), text.size()) == 1);
  return signature;
}

Result<void> SigningKey::write(const std::filesystem::path& pem_file) const {
  const Bio secret(BIO_new(BIO_s_mem())), open(BIO_new(BIO_s_mem()));
  DW_CHECK(secret != nullptr && open != nullptr);
  DW_CHECK(PEM_write_bio_PKCS8PrivateKey(secret.get(), state_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  DW_CHECK(PEM_write_bio_PUBKEY(open.get(), state_->key.get()) == 1);
  DW_TRY(write_pem(pem_file, secret.get()));
  std::filesystem::path public_file = pem_file;
  public_file += ".pub";
  return write_pem(public_file, open.get());
}

bool verify(const Signature& signature, const Hash& root) {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(signature.key.bytes.data()),
                                            signature.key.bytes.size()));
  if (key == nullptr) return false;
  const auto text = signed_text(root);
  const KeyContext context(EVP_MD_CTX_new());
  DW_CHECK(context != nullptr);
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), raw(signature.bytes.data()), signature.bytes.size(), raw(text.data()),
                          text.size()) == 1;
}

}  // namespace driftwood
