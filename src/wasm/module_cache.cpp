#include "wasm/module_cache.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <wasmtime.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/bytes.hpp"
#include "core/checksum.hpp"
#include "core/log.hpp"
#include "wasm/cpu_identity.hpp"
#include "wasm/module/rewrite.hpp"
#include "wasm/trap.hpp"

namespace driftwood {

namespace {

/// Named anew whenever engine.cpp changes the code that is generated.
constexpr std::string_view kCodeSettings = "1: relaxed-simd-deterministic, epochs, 4G+32M";

constexpr std::array<char, 8> kMagic = {'D', 'W', 'C', 'W', 'A', 'S', 'M', '2'};

constexpr std::size_t kLanes = 4;

/// A file is: compiled code, as Wasmtime serializes it; the module's facts; the footer.
struct Footer {
  std::array<char, 8> magic;
  std::uint64_t code_size;
  std::uint64_t facts_size;
  std::uint64_t checksum;  ///< of code and facts
  Hash key;
};
static_assert(sizeof(Footer) == 64);

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

Hash key_of(const Hash& machine, const Hash& module) {
  Hasher hasher;
  hasher.update(machine.bytes);
  hasher.update(module.bytes);
  return hasher.finish();
}

/// The facts in a file that is one of ours, whole, and made for `key`; else nothing.
std::optional<std::vector<std::byte>> read_sound(const PrivateFolder::File& file, const Hash& key) {
  const auto size = static_cast<std::size_t>(file.size);
  if (file.descriptor.get() < 0 || size < sizeof(Footer)) return std::nullopt;
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
  if (mapped == MAP_FAILED) return std::nullopt;
  const std::span bytes(static_cast<const std::byte*>(mapped), size);
  const auto payload = bytes.first(size - sizeof(Footer));
  Footer footer;
  std::memcpy(&footer, payload.data() + payload.size(), sizeof footer);
  std::optional<std::vector<std::byte>> facts;
  if (footer.magic == kMagic && footer.key == key &&
      checked_add(footer.code_size, footer.facts_size) == payload.size() &&
      footer.checksum == checksum<kLanes>(payload)) {
    const auto found = payload.subspan(footer.code_size);
    facts.emplace(found.begin(), found.end());
  }
  ::munmap(mapped, size);
  return facts;
}

}  // namespace

ModuleCache::ModuleCache(PrivateFolder folder) : folder_(std::move(folder)) {
  Hasher hasher;
  hasher.update(as_bytes("Wasmtime " WASMTIME_VERSION));
  hasher.update(as_bytes(kCodeSettings));
  hasher.update(as_bytes(fmt::format("rewriter {}", kRewriterVersion)));
  hasher.update(as_bytes(cpu_identity()));
  machine_ = hasher.finish();
}

Result<std::unique_ptr<ModuleCache>> ModuleCache::open(const std::filesystem::path& folder) {
  DW_TRY_ASSIGN(PrivateFolder opened, PrivateFolder::open(folder, "The module cache"));
  return std::unique_ptr<ModuleCache>(new ModuleCache(std::move(opened)));
}

std::filesystem::path ModuleCache::file_of(const Hash& module) const {
  return folder_.path_of(key_of(machine_, module).to_hex() + ".cwasm");
}

std::optional<CompiledModule> ModuleCache::load(const Engine& engine, const Hash& module) const {
  const auto file = file_of(module);
  auto facts = read_sound(folder_.find(file), key_of(machine_, module));
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
  const Footer footer{kMagic, code.size, compiled.facts.size(), checksum<kLanes>(payload), key_of(machine_, module)};
  append(std::as_bytes(std::span(&footer, 1)));
  return folder_.store(file_of(module), {payload}, "The compiled module");
}

}  // namespace driftwood
