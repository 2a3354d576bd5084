#include "model/model_hash.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include "core/bytes.hpp"
#include "core/cache_folder.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;

/// What an entry must begin with to hold for this file.
std::string entry_key(const fs::path& absolute, const MappedFile& file) {
  const MappedFile::Stamp& stamp = file.stamp();
  return fmt::format("{}\n{} {} {} {}\n", absolute.string(), file.bytes().size(), stamp.inode, stamp.modified_ns,
                     stamp.changed_ns);
}

std::optional<Hash> read_entry(const fs::path& entry, const std::string& key) {
  std::ifstream in(entry, std::ios::binary);
  std::string text(key.size() + 64, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())) || !text.starts_with(key)) return std::nullopt;
  const auto hash = Hash::from_hex(std::string_view(text).substr(key.size()));
  return hash ? std::optional(*hash) : std::nullopt;
}

void write_entry(const fs::path& entry, const std::string& key, const Hash& hash) {
  std::error_code error;
  fs::create_directories(entry.parent_path(), error);
  std::string temporary = entry.string() + ".XXXXXX";
  const int fd = ::mkstemp(temporary.data());
  if (fd < 0) return;
  const std::string text = key + hash.to_hex() + "\n";
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  if (written) fs::rename(temporary, entry, error);
  if (!written || error) fs::remove(temporary, error);
}

Hash hash_with_progress(std::span<const std::byte> bytes, const std::function<void(double)>& progress) {
  constexpr std::size_t kPiece = 4 * kMiB;
  Hasher hasher;
  for (std::size_t done = 0; done < bytes.size();) {
    const std::size_t size = std::min(kPiece, bytes.size() - done);
    hasher.update(bytes.subspan(done, size));
    done += size;
    if (progress) progress(static_cast<double>(done) / static_cast<double>(bytes.size()));
  }
  return hasher.finish();
}

}  // namespace

Hash model_hash(const fs::path& path, const MappedFile& file, const std::function<void(double)>& progress) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const auto directory = error ? std::nullopt : cache_folder("model-hashes");
  if (!directory) return hash_with_progress(file.bytes(), progress);

  const std::string name = hash_bytes(std::as_bytes(std::span(absolute.native()))).to_hex();
  const fs::path entry = *directory / name;
  const std::string key = entry_key(absolute, file);
  if (const auto known = read_entry(entry, key)) return *known;
  const Hash hash = hash_with_progress(file.bytes(), progress);
  write_entry(entry, key, hash);
  return hash;
}

}  // namespace driftwood
