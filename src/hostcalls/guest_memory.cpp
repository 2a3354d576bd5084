#include "hostcalls/guest_memory.hpp"

#include <fmt/format.h>

namespace driftwood {

std::unexpected<Error> GuestMemory::bad_range(Argument argument, const ByteRange& wanted, std::size_t alignment) const {
  if (!wanted.within(size_)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"{}\" of {} (offset {}, {} bytes) reaches beyond linear memory ({} bytes).",
                            argument.name, argument.call, wanted.offset, wanted.size, size_));
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("The argument \"{}\" of {} (offset {}) is not aligned to {} bytes.", argument.name,
                          argument.call, wanted.offset, alignment));
}

std::unexpected<Error> GuestMemory::bad_struct_size(Argument argument, std::uint32_t given, std::size_t size) {
  return fail(ErrorCode::invalid_argument,
              fmt::format("The field \"size\" of the argument \"{}\" of {} ({}) is not the struct's size in this "
                          "version of the guest ABI ({}).",
                          argument.name, argument.call, given, size));
}

std::unexpected<Error> GuestMemory::too_many(Argument argument, std::size_t count) {
  return fail(ErrorCode::unsupported, fmt::format("{} has {} elements to give in \"{}\"; the guest ABI counts to {}.",
                                                  argument.call, count, argument.name, INT32_MAX));
}

Result<std::string_view> GuestMemory::text(Argument argument, std::uint32_t offset, std::uint32_t length,
                                           std::uint32_t limit) const {
  DW_TRY_ASSIGN(const std::span<std::byte> found, bytes(argument, offset, length));
  if (length > limit) {
    return fail(ErrorCode::invalid_argument, fmt::format("The argument \"{}\" of {} has {} bytes; {} are allowed.",
                                                         argument.name, argument.call, length, limit));
  }
  return std::string_view(reinterpret_cast<const char*>(found.data()), found.size());
}

Result<void> check_disjoint(std::span<const NamedRange> ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    for (std::size_t j = i + 1; j < ranges.size(); ++j) {
      const ByteRange& a = ranges[i].range;
      const ByteRange& b = ranges[j].range;
      if (!a.overlaps(b)) continue;
      return fail(ErrorCode::invalid_argument,
                  fmt::format("The arguments \"{}\" (offset {}, {} bytes) and \"{}\" (offset {}, {} bytes) of {} "
                              "overlap.",
                              ranges[i].argument.name, a.offset, a.size, ranges[j].argument.name, b.offset, b.size,
                              ranges[i].argument.call));
    }
  }
  return {};
}

}  // namespace driftwood
