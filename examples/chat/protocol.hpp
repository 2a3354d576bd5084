// The messages between a host and the chat actor: their one definition, for both sides.
//
// A message is a verb line, lines of "key value", an empty line, and a body that runs to the
// message's end:
//
//   say                                      answer
//                                            finish stop
//   What is driftwood?                       generated_tokens 41
//                                            ...
//
//                                            Driftwood is wood that ...
//
// In a value "\\" stands for a backslash and "\n" for a line's end; a body is raw. Keys may repeat
// (stop) and unknown ones are passed over, so that either side may be newer. Numbers are plain
// decimals, booleans 0 or 1.
//
//   to the actor   body   reply
//   configure      -      status   Settings; begins a new conversation
//   sampling       -      status   Sampling; goes on with the conversation
//   say            text   answer   the pieces of the answer are emitted as they come, the body is
//                         all of it
//   reset          -      status   begins anew with the same settings
//   stats          -      status
//   transcript     -      transcript  a field for each message so far, "user" or "assistant" (or
//                         "system") and its text, in order
//   tokens         -      tokens   the body: those whose rows the Context holds, as decimals with spaces between
//   (whatever failed)     error    `code` is a DW_E_*, the body a sentence
//
// Header only, standard C++, no calls to the host; any thread. What arrives is checked: nothing
// here trusts it.
#pragma once

#include <charconv>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace driftwood::chat {

inline constexpr std::string_view kConfigure = "configure";
inline constexpr std::string_view kSampling = "sampling";
inline constexpr std::string_view kSay = "say";
inline constexpr std::string_view kReset = "reset";
inline constexpr std::string_view kStats = "stats";
inline constexpr std::string_view kTranscript = "transcript";
inline constexpr std::string_view kTokens = "tokens";
inline constexpr std::string_view kStatus = "status";
inline constexpr std::string_view kAnswer = "answer";
inline constexpr std::string_view kError = "error";

/// A message as it travels. Values are unescaped.
struct Message {
  std::string verb;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
};

/// How the next token is chosen. What each means, and in which order they work:
/// sdk/cpp/driftwood/sampler.hpp.
struct Sampling {
  float temperature = 0.7F;            ///< 0: greedy
  std::uint32_t top_k = 40;            ///< 0: off
  float top_p = 0.95F;                 ///< 1: off
  float min_p = 0.0F;                  ///< 0: off
  float repetition_penalty = 1.0F;     ///< 1: off
  float presence_penalty = 0.0F;       ///< 0: off
  float frequency_penalty = 0.0F;      ///< 0: off
  std::uint32_t penalty_window = 256;  ///< latest tokens that the penalties look at
  std::uint64_t seed = 0;
  std::uint32_t max_tokens = 0;   ///< of one answer; 0: until the context is full
  std::vector<std::string> stop;  ///< texts that end an answer and are no part of it

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("temperature", self.temperature);
    field("top_k", self.top_k);
    field("top_p", self.top_p);
    field("min_p", self.min_p);
    field("repetition_penalty", self.repetition_penalty);
    field("presence_penalty", self.presence_penalty);
    field("frequency_penalty", self.frequency_penalty);
    field("penalty_window", self.penalty_window);
    field("seed", self.seed);
    field("max_tokens", self.max_tokens);
    field("stop", self.stop);
  }
};

/// What a conversation is set up with.
struct Settings {
  std::string model;               ///< a granted name
  std::uint32_t n_ctx = 0;         ///< tokens; 0: the length that the model was trained for, at most 4096
  std::string kv_type = "f16";     ///< f16 or q8_0
  std::string system;              ///< system prompt; empty: none
  std::string when_full = "stop";  ///< stop, or drop_oldest: forget the oldest turns
  Sampling sampling;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("model", self.model);
    field("n_ctx", self.n_ctx);
    field("kv_type", self.kv_type);
    field("system", self.system);
    field("when_full", self.when_full);
    Sampling::visit(self.sampling, field);
  }
};

/// Where the actor's state lies, as dw_info and the actor itself see it. Host and device addresses
/// are 0 unless the host shows them; the Context's first byte is at host_base + context_address.
struct Proof {
  std::string device;
  std::string sharing;  ///< same_memory, mapped_over_bus or copied
  std::uint64_t host_base = 0;
  std::uint64_t device_base = 0;
  std::uint64_t context_address = 0;  ///< offset in linear memory
  std::uint64_t context_bytes = 0;
  std::uint64_t logits_address = 0;  ///< offset in linear memory
  std::uint64_t bytes_copied = 0;    ///< between linear memory and a device, since the actor's start
  std::uint32_t threads = 0;
  std::uint32_t page_size = 0;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("device", self.device);
    field("sharing", self.sharing);
    field("host_base", self.host_base);
    field("device_base", self.device_base);
    field("context_address", self.context_address);
    field("context_bytes", self.context_bytes);
    field("logits_address", self.logits_address);
    field("bytes_copied", self.bytes_copied);
    field("threads", self.threads);
    field("page_size", self.page_size);
  }
};

/// The reply to configure, sampling, reset and stats.
struct Status {
  std::string model;
  std::string architecture;
  std::string model_hash;  ///< SHA-256 in hexadecimal digits
  std::uint32_t n_ctx = 0;
  std::string kv_type;
  std::uint32_t context_tokens = 0;  ///< in the Context now
  std::uint32_t turns = 0;           ///< answers given in this conversation
  std::uint64_t prompt_tokens = 0;   ///< of all turns, those reused not counted
  std::uint64_t reused_tokens = 0;
  std::uint64_t generated_tokens = 0;
  Proof proof;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("model", self.model);
    field("architecture", self.architecture);
    field("model_hash", self.model_hash);
    field("n_ctx", self.n_ctx);
    field("kv_type", self.kv_type);
    field("context_tokens", self.context_tokens);
    field("turns", self.turns);
    field("prompt_tokens", self.prompt_tokens);
    field("reused_tokens", self.reused_tokens);
    field("generated_tokens", self.generated_tokens);
    Proof::visit(self.proof, field);
  }
};

/// The reply to say; the message's body is the answer's text.
struct Answer {
  std::string finish;               ///< stop, length (max_tokens), cancelled, context_full
  std::uint32_t prompt_tokens = 0;  ///< prefilled for this turn
  std::uint32_t reused_tokens = 0;  ///< of the prompt, whose KV rows were there already
  std::uint32_t generated_tokens = 0;
  std::uint32_t context_tokens = 0;  ///< in the Context after the turn
  std::uint32_t n_ctx = 0;
  Proof proof;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("finish", self.finish);
    field("prompt_tokens", self.prompt_tokens);
    field("reused_tokens", self.reused_tokens);
    field("generated_tokens", self.generated_tokens);
    field("context_tokens", self.context_tokens);
    field("n_ctx", self.n_ctx);
    Proof::visit(self.proof, field);
  }
};

/// The reply to whatever failed; the message's body is a sentence.
struct Failure {
  std::int32_t code = 0;  ///< DW_E_*

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& field) {
    field("code", self.code);
  }
};

namespace detail {

/// True for a field whose key may repeat.
template <typename T>
inline constexpr bool kIsList = std::is_same_v<std::remove_cvref_t<T>, std::vector<std::string>>;

inline std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

inline std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    ++i;
    out += text[i] == 'n' ? '\n' : text[i];
  }
  return out;
}

template <typename Integer>
std::string write_integer(Integer value) {
  char digits[24];
  const auto result = std::to_chars(digits, digits + sizeof digits, value);
  return std::string(digits, result.ptr);
}

inline std::string write_value(const std::string& value) { return value; }
inline std::string write_value(std::int32_t value) { return write_integer(value); }
inline std::string write_value(std::uint32_t value) { return write_integer(value); }
inline std::string write_value(std::uint64_t value) { return write_integer(value); }
/// To six places: enough for every setting, and without a library's large tables in the guest. Past
/// 1e9 it is 1e9.
inline std::string write_value(float value) {
  const bool negative = value < 0;
  double magnitude = negative ? -static_cast<double>(value) : static_cast<double>(value);
  magnitude = magnitude < 1e9 ? magnitude : 1e9;  // and for a NaN
  const auto millionths = static_cast<std::uint64_t>(magnitude * 1e6 + 0.5);
  std::string fraction = write_integer(millionths % 1'000'000);
  fraction.insert(0, 6 - fraction.size(), '0');
  return (negative ? "-" : "") + write_integer(millionths / 1'000'000) + "." + fraction;
}

template <typename Integer>
bool read_integer(std::string_view text, Integer& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc{} && result.ptr == text.data() + text.size();
}

inline bool read_value(std::string_view text, std::string& value) {
  value = text;
  return true;
}
inline bool read_value(std::string_view text, std::int32_t& value) { return read_integer(text, value); }
inline bool read_value(std::string_view text, std::uint32_t& value) { return read_integer(text, value); }
inline bool read_value(std::string_view text, std::uint64_t& value) { return read_integer(text, value); }
/// "-12.5": at most nine digits before the point and nine after it.
inline bool read_value(std::string_view text, float& value) {
  const bool negative = text.starts_with('-');
  text.remove_prefix(negative ? 1 : 0);
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  std::uint32_t units = 0;
  std::uint32_t parts = 0;
  if (whole.size() > 9 || fraction.size() > 9 || !read_integer(whole, units)) return false;
  if (point != std::string_view::npos && !read_integer(fraction, parts)) return false;
  double scale = 1;
  for (std::size_t i = 0; i < fraction.size(); ++i) scale *= 10;
  const double magnitude = units + parts / scale;
  value = static_cast<float>(negative ? -magnitude : magnitude);
  return true;
}

}  // namespace detail

/// The bytes of a message.
inline std::string encode(const Message& message) {
  std::string out = message.verb + '\n';
  for (const auto& [key, value] : message.fields) {
    out += key;
    out += ' ';
    out += detail::escape(value);
    out += '\n';
  }
  out += '\n';
  out += message.body;
  return out;
}

/// The bytes of a message whose fields are `fields` (Settings, Answer, ...).
template <typename Fields>
  requires(!std::is_convertible_v<const Fields&, std::string_view>)
std::string encode(std::string_view verb, const Fields& fields, std::string_view body = {}) {
  Message message{std::string(verb), {}, std::string(body)};
  Fields::visit(fields, [&](std::string_view key, const auto& value) {
    if constexpr (detail::kIsList<decltype(value)>) {
      for (const std::string& item : value) message.fields.emplace_back(key, item);
    } else {
      message.fields.emplace_back(key, detail::write_value(value));
    }
  });
  return encode(message);
}

/// The bytes of a message without fields.
inline std::string encode(std::string_view verb, std::string_view body = {}) {
  return encode(Message{std::string(verb), {}, std::string(body)});
}

/// Takes a message apart. The error is a sentence.
inline std::expected<Message, std::string> decode(std::string_view bytes) {
  Message message;
  const auto next_line = [&bytes]() -> std::expected<std::string_view, std::string> {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      return std::unexpected("The message has no empty line, which ends its fields.");
    }
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    return line;
  };
  const auto verb = next_line();
  if (!verb) return std::unexpected(verb.error());
  message.verb = *verb;
  while (true) {
    const auto line = next_line();
    if (!line) return std::unexpected(line.error());
    if (line->empty()) break;
    const std::size_t space = line->find(' ');
    if (space == std::string_view::npos) {
      return std::unexpected("The field \"" + std::string(*line) + "\" has no value.");
    }
    message.fields.emplace_back(line->substr(0, space), detail::unescape(line->substr(space + 1)));
  }
  message.body = bytes;
  return message;
}

/// A message's fields as a struct; those that the message lacks keep the default. The error is a
/// sentence.
template <typename Fields>
std::expected<Fields, std::string> read_fields(const Message& message) {
  Fields fields;
  std::string wrong;
  Fields::visit(fields, [&](std::string_view key, auto& target) {
    for (const auto& [name, value] : message.fields) {
      if (name != key) continue;
      if constexpr (detail::kIsList<decltype(target)>) {
        target.push_back(value);
      } else if (!detail::read_value(value, target)) {
        wrong = "The value (" + value + ") of the field " + name + " is not a number that fits it.";
      }
    }
  });
  if (!wrong.empty()) return std::unexpected(wrong);
  return fields;
}

}  // namespace driftwood::chat
