// What an actor's memory held at one moment: immutable, and mapped by any number of Regions.
//
//   linear memory  | extent | zeros | extent        | extent | zeros ... |  size()
//                      |                  |             |
//                   Layer A            Layer B       Layer A
//
// An Image is a list of extents, each a part of a Layer. Taking a new one keeps the
// Layers of the old one and adds what was written since, so two Images of one actor
// share what did not change, and comparing them is comparing lists.
// Immutable; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "memory/layer.hpp"

namespace driftwood {

/// How many extents an Image from a store has at most, unless they are large: each takes a Region two mappings, and the
/// system lets a process have so many.
inline constexpr std::size_t kFewExtents = 64;

/// Bytes of linear memory that lie in a Layer.
struct Extent {
  ByteRange range;                     ///< in linear memory, multiples of the page size, not empty
  std::shared_ptr<const Layer> layer;  ///< holds the bytes
  std::size_t layer_offset = 0;        ///< of the first byte, a multiple of the page size

  const std::byte* view() const noexcept { return layer->view() + layer_offset; }
};

class Image {
 public:
  /// Bytes to begin an Image with.
  struct Piece {
    std::size_t offset;  ///< in linear memory, of any alignment
    std::span<const std::byte> bytes;
  };

  /// An Image of `size` bytes (a multiple of the page size), zero but for `pieces`, which are applied in
  /// order. invalid_argument: a piece that does not lie in it; out_of_memory.
  static Result<std::shared_ptr<const Image>> create(std::size_t size, std::span<const Piece> pieces);
  /// An Image of these extents: in order, without overlap, within `size`. invalid_argument otherwise.
  static Result<std::shared_ptr<const Image>> compose(std::size_t size, std::vector<Extent> extents);

  /// The same memory in kFewExtents where it has more: the smallest neighbours are copied, but not more than 64 MiB,
  /// for which more mappings are the better price. out_of_memory; the Image itself where there is nothing to do.
  static Result<std::shared_ptr<const Image>> in_few_extents(std::shared_ptr<const Image> image);

  /// Bytes of linear memory, a multiple of the page size.
  std::size_t size() const noexcept { return size_; }
  /// By offset, without overlap; what lies between them is zero.
  std::span<const Extent> extents() const noexcept { return extents_; }

  /// Copies bytes out; `range` lies within size() and has the size of `out`.
  void read(ByteRange range, std::span<std::byte> out) const;
  /// The ranges, in order, whose bytes may differ from those of `older`: those that do not lie in the same
  /// place (place_of) in both. What only one of the two has counts as different.
  std::vector<ByteRange> changes_since(const Image& older) const;

 private:
  Image(std::size_t size, std::vector<Extent> extents) : size_(size), extents_(std::move(extents)) {}

  const std::size_t size_;
  const std::vector<Extent> extents_;
};

}  // namespace driftwood
