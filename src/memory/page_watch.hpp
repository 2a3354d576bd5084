// Which pages the process wrote since it was last asked: for copies of memory that must notice a write behind their
// back.
//
// The system marks pages and drops the mark at the first write, in the kernel and without
// a signal (userfaultfd's asynchronous write protection, Linux 6.7). Writes by a device
// into pinned pages are not seen. A page that was mapped anew counts as written.
// Any thread; calls about one range are for the callers to order.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood {

class PageWatch {
 public:
  /// unsupported: the system has no such marks, or does not let this process use them.
  static Result<std::unique_ptr<PageWatch>> create();
  virtual ~PageWatch() = default;

  /// Marks the whole pages of [at, at + size), which is mapped: what is written from now on is seen.
  virtual Result<void> watch(const std::byte* at, std::size_t size) = 0;
  /// Takes the marks away, for whoever is about to write many of the pages and watch them again: else each takes a
  /// fault. What is not watched is left alone.
  virtual void unwatch(const std::byte* at, std::size_t size) noexcept = 0;
  /// The offset from `at` of the first page that was written since it was watched, or never was; nothing where none
  /// was.
  virtual std::optional<std::size_t> first_written(const std::byte* at, std::size_t size) const = 0;
};

}  // namespace driftwood
