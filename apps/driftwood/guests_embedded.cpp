#include "guests.hpp"

extern "C" const unsigned char driftwood_chat_wasm[];
extern "C" const std::size_t driftwood_chat_wasm_size;
extern "C" const unsigned char driftwood_doctor_wasm[];
extern "C" const std::size_t driftwood_doctor_wasm_size;

namespace driftwood::cli {

std::span<const std::byte> chat_guest() noexcept {
  return std::as_bytes(std::span(driftwood_chat_wasm, driftwood_chat_wasm_size));
}

std::span<const std::byte> doctor_guest() noexcept {
  return std::as_bytes(std::span(driftwood_doctor_wasm, driftwood_doctor_wasm_size));
}

}  // namespace driftwood::cli
