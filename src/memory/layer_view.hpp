// Address space in which sealed bytes are read, by all who share them.
#pragma once

#include <cstddef>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood {

/// A mapping of its own. Move-only.
class LayerView {
 public:
  /// Maps a range of a file, for reading.
  static Result<LayerView> map(int fd, ByteRange range);
  /// The same for reading and writing.
  static Result<LayerView> map_writable(int fd, ByteRange range);
  /// Addresses to move a mapping to.
  static Result<LayerView> reserve(std::size_t size);
  LayerView() = default;
  LayerView(LayerView&& other) noexcept;
  LayerView& operator=(LayerView&& other) noexcept;
  ~LayerView();

  std::byte* data() const noexcept { return data_; }
  /// Moves data() on inside of what was reserved.
  void advance(std::size_t bytes) noexcept { data_ += bytes; }

 private:
  LayerView(std::byte* base, std::size_t size) noexcept;

  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::byte* data_ = nullptr;
};

}  // namespace driftwood
