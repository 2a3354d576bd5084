// What a test expects to succeed.
#pragma once

#include <stdexcept>
#include <type_traits>
#include <utility>

#include "driftwood/error.hpp"

namespace driftwood::testing {

/// The value of a Result, or a failed test with the sentence of its error.
template <typename T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace driftwood::testing
