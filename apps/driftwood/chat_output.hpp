// How answers and their proofs look, for people and as JSON. One thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "chat_session.hpp"
#include "console.hpp"
#include "core/error.hpp"

namespace driftwood::cli {

/// Streams an answer's text to standard output: whole characters only, and on a terminal only harmless ones.
class AnswerPrinter {
 public:
  AnswerPrinter();
  void print(std::string_view piece);
  /// Prints what is held back, and ends the line.
  void finish();

 private:
  void write(std::string_view text);
  bool terminal_;
  bool ends_line_ = true;
  std::string held_;  ///< the beginning of a character
};

/// The three views of one actor's linear memory, each from its own source.
struct MemoryProof {
  std::uint64_t guest = 0;   ///< as the guest was told by the ABI, behind its own Context
  std::uint64_t device = 0;  ///< where the device's tensors for offset 0 lie
  std::uint64_t host = 0;    ///< where the host maps the actor's Region
  std::string sharing;
  std::string device_name;
  std::uint64_t bytes_copied = 0;
  bool context_seen = false;  ///< the host finds the guest's Context, with its token count, in its own view

  bool same_pointer() const noexcept { return guest == device && device == host && guest != 0; }
  bool holds() const noexcept { return same_pointer() && context_seen && bytes_copied == 0; }
};

MemoryProof prove(ChatSession& session, const ChatAnswer& answer);

/// One line: addresses, bytes copied, tokens a second.
std::string proof_line(const MemoryProof& proof, const ChatAnswer& answer);
std::string rates_line(const ChatAnswer& answer);
std::string status_lines(const chat::Status& status);
Json answer_json(const ChatAnswer& answer);
Json proof_json(const MemoryProof& proof);

}  // namespace driftwood::cli
