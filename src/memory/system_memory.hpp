// What Regions and memory files need of the operating system. Internal to src/memory.
//
// Sizes, offsets and addresses are multiples of the page size; callers see to it.
// The first group is POSIX and in system_memory.cpp; the second differs between
// systems and is in memory_linux.cpp or memory_macos.cpp. Any thread may call.
// What the system refuses comes back as out_of_memory with its reason.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/bytes.hpp"
#include "core/error.hpp"

namespace driftwood::system_memory {

/// `size` bytes of address space that fault when touched and cost no memory.
Result<std::byte*> reserve(std::size_t size);
/// Gives back what reserve() gave, with all that was mapped into it.
void release(std::byte* base, std::size_t size) noexcept;
/// Maps a file's bytes over reserved ones, readable and writable: writes go to the file.
Result<void> map_shared(std::byte* at, std::size_t size, int fd, std::size_t file_offset);
/// out_of_memory: "The system refused to `what` (`error_number` as text)." Take errno before `what` is formatted.
std::unexpected<Error> refused(int error_number, std::string_view what);

/// Maps a file's bytes anywhere, for reading, and for writing to the file where `is_writable`.
Result<std::byte*> map_view(std::size_t size, int fd, std::size_t file_offset, bool is_writable);

/// Like map_shared, but writes stay in this mapping (copy-on-write), and pages are read in when
/// they are touched.
Result<void> map_private(std::byte* at, std::size_t size, int fd, std::size_t file_offset);
/// An anonymous file of `size` zero bytes that may be resized up to `capacity`; closed on exec.
Result<int> create_file(std::size_t size, std::size_t capacity);
/// Sets the size of a file from create_file() to at most its capacity.
Result<void> resize_file(int fd, std::size_t size);
/// Gives the pages of a memory file's range back to the system; they read as zero then.
void discard(int fd, ByteRange range) noexcept;
/// The parts of `range` of a memory file that may hold something other than zeros, in order, page by page. Holes of at
/// most `gap` bytes may be left in, which is quicker than to find them.
Result<std::vector<ByteRange>> data_ranges(int fd, ByteRange range, std::size_t gap = 0);
/// Moves the page table of a shared mapping, which must be one mapping of the system's, to reserved addresses: the file
/// is mapped at both then, and what is read at `to` needs no faults. False, with everything as it was, where the
/// system cannot. Quick only when the two addresses are equal modulo kMoveAlignment.
bool move_mapping(std::byte* from, std::size_t size, std::byte* to) noexcept;
inline constexpr std::size_t kMoveAlignment = 2 * kMiB;

/// Whether there is a way to ask which pages of a copy-on-write mapping were written.
bool can_find_written() noexcept;
/// The parts of [at, at + size), which is mapped copy-on-write over files, that were written since it was mapped, as
/// ranges relative to `at`, in order. Needs can_find_written().
Result<std::vector<ByteRange>> find_written(const std::byte* at, std::size_t size);

}  // namespace driftwood::system_memory
