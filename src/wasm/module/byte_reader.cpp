#include "wasm/module/byte_reader.hpp"

namespace driftwood {

void ByteReader::fail() noexcept {
  failed_ = true;
  position_ = bytes_.size();
}

std::uint8_t ByteReader::byte() noexcept {
  if (at_end()) {
    fail();
    return 0;
  }
  return static_cast<std::uint8_t>(bytes_[position_++]);
}

std::uint64_t ByteReader::unsigned_leb(unsigned bits) noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < bits; shift += 7) {
    const std::uint8_t next = byte();
    const std::uint64_t digit = next & 0x7fu;
    if (shift + 7 > bits && digit >> (bits - shift) != 0) break;
    value |= digit << shift;
    if ((next & 0x80u) == 0) return failed_ ? 0 : value;
  }
  fail();
  return 0;
}

std::int64_t ByteReader::signed_leb() noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t next = byte();
    value |= std::uint64_t{next & 0x7fu} << shift;
    if ((next & 0x80u) != 0) continue;
    if ((next & 0x40u) != 0 && shift + 7 < 64) value |= ~std::uint64_t{0} << (shift + 7);
    return static_cast<std::int64_t>(value);
  }
  fail();
  return 0;
}

std::span<const std::byte> ByteReader::take(std::size_t count) noexcept {
  if (count > bytes_.size() - position_) {
    fail();
    return {};
  }
  const auto taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

std::string_view ByteReader::name() noexcept {
  const auto bytes = sized();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace driftwood
