// A host of the guest ABI in plain memory, for what of the SDK calls one.
//
// Its model knows one byte for each token, and the pair "ab" as one: text that a model says byte by byte is other
// tokens when it is tokenized again. Control characters are its special tokens. It says what it was told to say. A
// Context holds the tokens themselves in place of KV rows, and what is said next follows from those alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace driftwood::guest::test {

inline constexpr std::int32_t kSystem = 1;
inline constexpr std::int32_t kUser = 2;
inline constexpr std::int32_t kAssistant = 3;
inline constexpr std::int32_t kEnd = 4;  ///< ends each message
inline constexpr std::int32_t kPair = 256;
inline constexpr std::uint32_t kFakeVocab = 257;
inline constexpr std::uint32_t kKvOffset = 128;  ///< from a Context to its first token

struct FakeHost {
  std::string says;                              ///< bytes of every answer; the end token follows
  bool template_trims = false;                   ///< the chat format drops spaces at a message's end
  std::function<std::int32_t()> before_forward;  ///< its error is the forward's
  std::vector<std::int32_t> computed;            ///< all tokens of all forwards
};

/// The host of the test that runs, as it is after reset.
FakeHost& fake_host();
void reset_fake_host();

}  // namespace driftwood::guest::test
