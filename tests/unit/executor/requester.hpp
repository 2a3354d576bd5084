// Who brings a request to an executor under test.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "llm/forward_request.hpp"

namespace driftwood {

/// One request's thread has a memory of its own; the fake never looks into it.
struct Requester {
  explicit Requester(std::uint32_t n_tokens, std::int8_t priority = 0) : tokens(n_tokens) {
    request.memory = &memory;
    request.tokens = tokens;
    request.priority = priority;
    request.cancel = &cancel;
  }
  Import memory;
  std::vector<Token> tokens;
  std::atomic<bool> cancel{false};
  ForwardRequest request;
};

}  // namespace driftwood
