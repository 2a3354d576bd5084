#include "chat_output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/bytes.hpp"
#include "utf8.hpp"

#ifndef DW_HOST
#define DW_HOST
#endif
#include "driftwood.h"

namespace driftwood::cli {

AnswerPrinter::AnswerPrinter() : terminal_(is_terminal(STDOUT_FILENO)) {}

void AnswerPrinter::write(std::string_view text) {
  if (text.empty()) return;
  const std::string shown = terminal_ ? printable(text) : std::string(text);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
  ends_line_ = shown.ends_with('\n');
}

void AnswerPrinter::print(std::string_view piece) {
  held_ += piece;
  const std::size_t complete = complete_utf8(held_);
  write(std::string_view(held_).substr(0, complete));
  held_.erase(0, complete);
}

void AnswerPrinter::finish() {
  write(held_);
  held_.clear();
  if (!ends_line_) write("\n");
  ends_line_ = true;
}

MemoryProof prove(ChatSession& session, const ChatAnswer& answer) {
  const chat::Proof& told = answer.answer.proof;
  Region& memory = session.actor().memory();
  MemoryProof proof;
  proof.guest = told.host_base;
  proof.device = told.device_base;
  proof.host = reinterpret_cast<std::uintptr_t>(memory.data());
  proof.sharing = told.sharing;
  proof.device_name = told.device;
  proof.bytes_copied = told.bytes_copied;
  const ByteRange header{told.context_address, sizeof(dw_context_header)};
  if (header.within(memory.size())) {
    dw_context_header context;
    std::memcpy(&context, memory.data() + header.offset, sizeof(context));
    proof.context_seen = context.magic == DW_CONTEXT_MAGIC && context.n_tokens == answer.answer.context_tokens;
  }
  return proof;
}

std::string rates_line(const ChatAnswer& answer) {
  return fmt::format("prefill {:.1f} tokens/s ({} tokens), decode {:.1f} tokens/s ({} tokens)", answer.prefill_rate(),
                     answer.answer.prompt_tokens, answer.decode_rate(), answer.answer.generated_tokens);
}

std::string proof_line(const MemoryProof& proof, const ChatAnswer& answer) {
  return fmt::format(
      "{}: linear memory at guest {:#x}, device {:#x}, host {:#x} ({} on {}); KV cache read by the host: "
      "{}; bytes copied = {}; {}",
      proof.same_pointer() ? "one memory" : "not one memory", proof.guest, proof.device, proof.host,
      printable(proof.sharing), printable(proof.device_name), proof.context_seen ? "yes" : "no", proof.bytes_copied,
      rates_line(answer));
}

std::string status_lines(const chat::Status& status) {
  return fmt::format(
      "model     {} ({})\ncontext   {} of {} tokens, KV {}, {} in linear memory\n"
      "turns     {}\ntokens    {} prefilled, {} reused, {} generated\ndevice    {}, {} threads, {}\n",
      printable(status.model), printable(status.architecture), status.context_tokens, status.n_ctx,
      printable(status.kv_type), format_bytes(status.proof.context_bytes), status.turns, status.prompt_tokens,
      status.reused_tokens, status.generated_tokens, printable(status.proof.device), status.proof.threads,
      printable(status.proof.sharing));
}

Json answer_json(const ChatAnswer& answer) {
  const chat::Answer& told = answer.answer;
  return {{"text", answer.text},
          {"finish", told.finish},
          {"prompt_tokens", told.prompt_tokens},
          {"reused_tokens", told.reused_tokens},
          {"generated_tokens", told.generated_tokens},
          {"context_tokens", told.context_tokens},
          {"n_ctx", told.n_ctx},
          {"seconds", {{"prefill", answer.prefill_s}, {"decode", answer.decode_s}}},
          {"tokens_per_second", {{"prefill", answer.prefill_rate()}, {"decode", answer.decode_rate()}}}};
}

Json proof_json(const MemoryProof& proof) {
  return {{"guest", fmt::format("{:#x}", proof.guest)},
          {"device", fmt::format("{:#x}", proof.device)},
          {"host", fmt::format("{:#x}", proof.host)},
          {"same_pointer", proof.same_pointer()},
          {"sharing", proof.sharing},
          {"device_name", proof.device_name},
          {"context_seen_by_host", proof.context_seen},
          {"bytes_copied", proof.bytes_copied}};
}

}  // namespace driftwood::cli
