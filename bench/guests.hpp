// The guests that are part of the benchmark program.
#pragma once

#include <cstddef>
#include <span>

namespace driftwood::bench {

std::span<const std::byte> chain_guest() noexcept;          ///< bench/guests/chain.c
std::span<const std::byte> chain_guest_4096() noexcept;     ///< the same with matrices of 4,096
std::span<const std::byte> forward_guest() noexcept;        ///< bench/guests/forward.c
std::span<const std::byte> many_guest() noexcept;           ///< bench/guests/many.c
std::span<const std::byte> pong_guest() noexcept;           ///< bench/guests/pong.c
std::span<const std::byte> session_guest() noexcept;        ///< bench/guests/session.c
std::span<const std::byte> session_top_k_guest() noexcept;  ///< the same, with SESSION_TOP_K 40
std::span<const std::byte> start_guest() noexcept;          ///< bench/guests/start.c
std::span<const std::byte> chat_guest() noexcept;           ///< examples/chat

}  // namespace driftwood::bench
