// Bytes that are copied to a device one piece after another, so that it can be told how far that is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood {

/// Calls `copy` with each piece of `size` bytes, as a range of them, until it fails. `progress` gets the fraction done
/// after each; null: nobody asks.
template <typename Copy>
Result<void> upload(std::size_t size, const std::function<void(double)>* progress, const Copy& copy) {
  constexpr std::size_t kPiece = 32 * kMiB;  // a driver's staging memory stays small
  for (std::size_t done = 0; done < size;) {
    const ByteRange piece{done, std::min(kPiece, size - done)};
    DW_TRY(copy(piece));
    done += piece.size;
    if (progress != nullptr) (*progress)(static_cast<double>(done) / static_cast<double>(size));
  }
  return {};
}

}  // namespace driftwood
