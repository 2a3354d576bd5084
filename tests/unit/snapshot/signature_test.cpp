#include "snapshot/signature.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "samples.hpp"
#include "support/temporary_folder.hpp"

namespace driftwood {
namespace {

using testing::hash_of;
using ::testing::HasSubstr;
using testing::value_of;

TEST(Signature, HoldsForOneRootAndOneKey) {
  const SigningKey key = SigningKey::generate();
  Signature signature = key.sign(hash_of("root"));
  EXPECT_TRUE(verify(signature, hash_of("root")));
  EXPECT_FALSE(verify(signature, hash_of("another")));
  Signature other = signature;
  other.key = SigningKey::generate().public_key();
  EXPECT_FALSE(verify(other, hash_of("root")));
  signature.bytes[20] ^= std::byte{4};
  EXPECT_FALSE(verify(signature, hash_of("root")));
}

TEST(Signature, KeysComeBackFromTheirFiles) {
  const TemporaryFolder folder;
  const SigningKey key = SigningKey::generate();
  value_of(key.write(folder.path() / "key.pem"));
  EXPECT_EQ(value_of(SigningKey::read(folder.path() / "key.pem")).public_key(), key.public_key());
  EXPECT_EQ(value_of(PublicKey::read(folder.path() / "key.pem.pub")), key.public_key());
  EXPECT_EQ(std::filesystem::status(folder.path() / "key.pem").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_FALSE(key.write(folder.path() / "key.pem")) << "a key is not replaced";
}

/// The key pair of RFC 8410, section 10.
TEST(Signature, ReadsTheKeysOfTheStandard) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder.path() / name) << text;
    return folder.path() / name;
  };
  const auto secret = write("secret.pem",
                            "-----BEGIN PRIVATE KEY-----\n"
                            "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                            "-----END PRIVATE KEY-----\n");
  const auto open = write("public.pem",
                          "-----BEGIN PUBLIC KEY-----\n"
                          "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                          "-----END PUBLIC KEY-----\n");
  EXPECT_EQ(value_of(SigningKey::read(secret)).public_key(), value_of(PublicKey::read(open)));
  EXPECT_THAT(SigningKey::read(open).error().message, HasSubstr("is not an Ed25519 private key"));
  EXPECT_THAT(PublicKey::read(secret).error().message, HasSubstr("is not an Ed25519 public key"));
  EXPECT_EQ(PublicKey::read(folder.path() / "none").error().code, ErrorCode::not_found);
  const auto noise = write("noise.pem", "no key\n");
  EXPECT_EQ(PublicKey::read(noise).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace driftwood
