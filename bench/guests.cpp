#include "guests.hpp"

extern "C" const unsigned char driftwood_bench_chain_wasm[];
extern "C" const std::size_t driftwood_bench_chain_wasm_size;
extern "C" const unsigned char driftwood_bench_chain_4096_wasm[];
extern "C" const std::size_t driftwood_bench_chain_4096_wasm_size;
extern "C" const unsigned char driftwood_bench_forward_wasm[];
extern "C" const std::size_t driftwood_bench_forward_wasm_size;
extern "C" const unsigned char driftwood_bench_many_wasm[];
extern "C" const std::size_t driftwood_bench_many_wasm_size;
extern "C" const unsigned char driftwood_bench_pong_wasm[];
extern "C" const std::size_t driftwood_bench_pong_wasm_size;
extern "C" const unsigned char driftwood_bench_session_wasm[];
extern "C" const std::size_t driftwood_bench_session_wasm_size;
extern "C" const unsigned char driftwood_bench_session_top_k_wasm[];
extern "C" const std::size_t driftwood_bench_session_top_k_wasm_size;
extern "C" const unsigned char driftwood_bench_start_wasm[];
extern "C" const std::size_t driftwood_bench_start_wasm_size;
extern "C" const unsigned char driftwood_chat_wasm[];
extern "C" const std::size_t driftwood_chat_wasm_size;

namespace driftwood::bench {
namespace {

std::span<const std::byte> bytes(const unsigned char* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

}  // namespace

std::span<const std::byte> chain_guest() noexcept {
  return bytes(driftwood_bench_chain_wasm, driftwood_bench_chain_wasm_size);
}
std::span<const std::byte> chain_guest_4096() noexcept {
  return bytes(driftwood_bench_chain_4096_wasm, driftwood_bench_chain_4096_wasm_size);
}
std::span<const std::byte> forward_guest() noexcept {
  return bytes(driftwood_bench_forward_wasm, driftwood_bench_forward_wasm_size);
}
std::span<const std::byte> many_guest() noexcept {
  return bytes(driftwood_bench_many_wasm, driftwood_bench_many_wasm_size);
}
std::span<const std::byte> pong_guest() noexcept {
  return bytes(driftwood_bench_pong_wasm, driftwood_bench_pong_wasm_size);
}
std::span<const std::byte> session_guest() noexcept {
  return bytes(driftwood_bench_session_wasm, driftwood_bench_session_wasm_size);
}
std::span<const std::byte> session_top_k_guest() noexcept {
  return bytes(driftwood_bench_session_top_k_wasm, driftwood_bench_session_top_k_wasm_size);
}
std::span<const std::byte> start_guest() noexcept {
  return bytes(driftwood_bench_start_wasm, driftwood_bench_start_wasm_size);
}
std::span<const std::byte> chat_guest() noexcept { return bytes(driftwood_chat_wasm, driftwood_chat_wasm_size); }

}  // namespace driftwood::bench
