#include "llm/graph/packed_cache.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/checksum.hpp"

namespace driftwood {
namespace {

constexpr std::array<char, 8> kMagic = {'D', 'W', 'P', 'A', 'C', 'K', '0', '1'};
constexpr std::size_t kHeaderBytes = 64 * 1024;  // a page of every machine, so that what follows is aligned

constexpr std::size_t kLanes = 8;

struct Header {
  std::array<char, 8> magic;
  std::uint64_t size;  ///< of the bytes behind the header
  std::uint64_t checksum;
  Hash key;
};

constexpr std::string_view kEnding = ".packed";  // before the version

/// Whether a name is that of a file of a version before `version`; the first files had none in their names.
bool is_older(std::string_view name, std::uint32_t version) {
  const std::size_t ending = name.find(kEnding);
  if (ending == std::string_view::npos) return false;
  const std::string_view digits = name.substr(ending + kEnding.size());
  std::uint32_t of_file = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), of_file);
  return digits.empty() || (error == std::errc() && end == digits.data() + digits.size() && of_file < version);
}

}  // namespace

MappedPack::~MappedPack() { ::munmap(const_cast<std::byte*>(mapped_), size_); }

Result<PackedCache> PackedCache::open(const std::filesystem::path& folder, std::uint32_t version) {
  DW_TRY_ASSIGN(PrivateFolder opened, PrivateFolder::open(folder, "The folder for packed weights"));
  return PackedCache(std::move(opened), version);
}

std::filesystem::path PackedCache::file_of(const Hash& key) const {
  return folder_.path_of(fmt::format("{}{}{}", key.to_hex(), kEnding, version_));
}

std::unique_ptr<MappedPack> PackedCache::load(const Hash& key, std::size_t size) const {
  const PrivateFolder::File file = folder_.find(file_of(key));
  if (file.descriptor.get() < 0 || file.size != kHeaderBytes + std::uint64_t{size}) return nullptr;
  const std::size_t all = kHeaderBytes + size;
  void* mapped = ::mmap(nullptr, all, PROT_READ, MAP_SHARED, file.descriptor.get(), 0);
  if (mapped == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  // What is not in the page cache comes in large pages then: a token reads all, and one in ten of its reads of small
  // pages waits for their translation.
  ::madvise(mapped, all, MADV_HUGEPAGE);
#endif
#if defined(MADV_POPULATE_READ)
  ::madvise(mapped, all, MADV_POPULATE_READ);  // all is read now, and with every token
#endif
  auto pack = std::make_unique<MappedPack>(static_cast<const std::byte*>(mapped), all, kHeaderBytes);
  Header header;
  std::memcpy(&header, mapped, sizeof header);
  const bool is_whole = header.magic == kMagic && header.key == key && header.size == size &&
                        header.checksum == checksum<kLanes>(pack->bytes());
  return is_whole ? std::move(pack) : nullptr;
}

Result<void> PackedCache::store(const Hash& key, std::span<const std::byte> bytes) const {
  const Header header{kMagic, bytes.size(), checksum<kLanes>(bytes), key};
  std::array<std::byte, kHeaderBytes> first{};
  std::memcpy(first.data(), &header, sizeof header);
  folder_.remove_files([&](std::string_view name) { return is_older(name, version_); });
  return folder_.store(file_of(key), {first, bytes}, "The packed weights",
                       [&] { return load(key, bytes.size()) != nullptr; });
}

}  // namespace driftwood
