#include "wasm/module_cache.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasmtime.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "core/log.hpp"
#include "wasm/cpu_identity.hpp"
#include "wasm/module/rewrite.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

/// Named anew whenever engine.cpp changes the code that is generated.
constexpr std::string_view kCodeSettings = "1: relaxed-simd-deterministic, epochs, 4G+32M";

constexpr std::array<char, 8> kMagic = {'D', 'W', 'C', 'W', 'A', 'S', 'M', '2'};

/// A file is: compiled code, as Wasmtime serializes it; the module's facts; the footer.
struct Footer {
  std::array<char, 8> magic;
  std::uint64_t code_size;
  std::uint64_t facts_size;
  std::uint64_t checksum;  ///< of code and facts
  Hash key;
};
static_assert(sizeof(Footer) == 64);

/// Four independent lanes keep the multiplier busy. Finds damage; no defence against an attacker.
std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15u;
  std::array<std::uint64_t, 4> lanes = {1, 2, 3, 4};
  const auto mix = [](std::uint64_t lane, std::uint64_t word) { return std::rotl((lane ^ word) * kOdd, 29); };
  while (bytes.size() >= 32) {
    std::array<std::uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data(), 32);
    for (std::size_t i = 0; i < 4; ++i) lanes[i] = mix(lanes[i], words[i]);
    bytes = bytes.subspan(32);
  }
  for (std::byte rest : bytes) lanes[0] = mix(lanes[0], static_cast<std::uint64_t>(rest));
  std::uint64_t sum = 0;
  for (std::uint64_t lane : lanes) sum = mix(sum, lane);
  return sum;
}

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

Hash key_of(const Hash& machine, const Hash& module) {
  Hasher hasher;
  hasher.update(machine.bytes);
  hasher.update(module.bytes);
  return hasher.finish();
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Only this user can have written it.
bool is_ours(const struct stat& status) { return status.st_uid == ::geteuid() && (status.st_mode & 0022) == 0; }

/// The facts in a file that is one of ours, whole, and made for `key`; else nothing.
std::optional<std::vector<std::byte>> read_sound(const std::filesystem::path& file, const Hash& key) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (descriptor.get() < 0 || ::fstat(descriptor.get(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode) || !is_ours(status)) return std::nullopt;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size < sizeof(Footer)) return std::nullopt;
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (mapped == MAP_FAILED) return std::nullopt;
  const std::span bytes(static_cast<const std::byte*>(mapped), size);
  const auto payload = bytes.first(size - sizeof(Footer));
  Footer footer;
  std::memcpy(&footer, payload.data() + payload.size(), sizeof footer);
  std::optional<std::vector<std::byte>> facts;
  if (footer.magic == kMagic && footer.key == key &&
      checked_add(footer.code_size, footer.facts_size) == payload.size() && footer.checksum == checksum(payload)) {
    const auto found = payload.subspan(footer.code_size);
    facts.emplace(found.begin(), found.end());
  }
  ::munmap(mapped, size);
  return facts;
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

std::string reason(int error) { return std::system_category().message(error); }

}  // namespace

ModuleCache::ModuleCache(std::filesystem::path folder) : folder_(std::move(folder)) {
  Hasher hasher;
  hasher.update(as_bytes("Wasmtime " WASMTIME_VERSION));
  hasher.update(as_bytes(kCodeSettings));
  hasher.update(as_bytes(fmt::format("rewriter {}", kRewriterVersion)));
  hasher.update(as_bytes(cpu_identity()));
  machine_ = hasher.finish();
}

Result<std::unique_ptr<ModuleCache>> ModuleCache::open(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(ErrorCode::unavailable,
                fmt::format("The module cache {} cannot be made: {}.", folder.string(), reason(errno)));
  }
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::unavailable, fmt::format("The module cache {} is not a folder.", folder.string()));
  }
  if (!is_ours(status)) {
    return fail(ErrorCode::unavailable,
                fmt::format("The module cache {} has owner {} and mode {:o}, but only its user ({}) may write to it.",
                            folder.string(), status.st_uid, status.st_mode & 07777, ::geteuid()));
  }
  return std::unique_ptr<ModuleCache>(new ModuleCache(folder));
}

std::filesystem::path ModuleCache::file_of(const Hash& module) const {
  return folder_ / (key_of(machine_, module).to_hex() + ".cwasm");
}

std::optional<CompiledModule> ModuleCache::load(const Engine& engine, const Hash& module) const {
  const auto file = file_of(module);
  auto facts = read_sound(file, key_of(machine_, module));
  if (!facts) return std::nullopt;
  wasmtime_module_t* loaded = nullptr;
  const WasmErrorHandle error(wasmtime_module_deserialize_file(engine.handle(), file.c_str(), &loaded));
  if (error) {
    log(LogLevel::debug, fmt::format("{} is compiled anew: {}", file.string(), describe(*error)));
    return std::nullopt;
  }
  return CompiledModule{WasmModuleHandle(loaded), *std::move(facts)};
}

Result<void> ModuleCache::store(const CompiledModule& compiled, const Hash& module) const {
  WasmBytes code;
  if (const WasmErrorHandle error(wasmtime_module_serialize(compiled.code.get(), &code)); error) {
    return fail(ErrorCode::internal, fmt::format("A compiled module cannot be serialized: {}.", describe(*error)));
  }
  std::vector<std::byte> payload;
  payload.reserve(code.size + compiled.facts.size() + sizeof(Footer));
  const auto append = [&payload](std::span<const std::byte> bytes) {
    payload.insert(payload.end(), bytes.begin(), bytes.end());
  };
  append(as_bytes(text_of(code)));
  append(compiled.facts);
  const Footer footer{kMagic, code.size, compiled.facts.size(), checksum(payload), key_of(machine_, module)};
  append(std::as_bytes(std::span(&footer, 1)));

  std::string temporary = (folder_ / "new-XXXXXX").string();
  const Descriptor descriptor(::mkstemp(temporary.data()));
  const auto file = file_of(module);
  if (descriptor.get() < 0 || !write_all(descriptor.get(), payload) || ::rename(temporary.c_str(), file.c_str()) != 0) {
    const int error = errno;
    if (descriptor.get() >= 0) ::unlink(temporary.c_str());
    return fail(ErrorCode::unavailable,
                fmt::format("The compiled module {} cannot be written: {}.", file.string(), reason(error)));
  }
  return {};
}

}  // namespace driftwood
