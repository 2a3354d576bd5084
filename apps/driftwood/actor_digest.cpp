#include "actor_digest.hpp"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/hash.hpp"

namespace driftwood::cli {

Hash hash_globals(std::span<const WasmValue> globals) {
  Hasher hasher;
  for (const WasmValue& value : globals) {
    const auto type = static_cast<std::byte>(value.type);
    hasher.update({&type, 1});
    hasher.update(std::as_bytes(std::span(value.bits)));
  }
  return hasher.finish();
}

Json digest_of(Actor& actor, std::span<const KnownModel> models) {
  const std::span<const std::byte> memory(actor.memory().data(), actor.memory().size());
  Json contexts = Json::array();
  for (const FoundContext& context : find_contexts(memory, models)) {
    Json json = context_json(context);
    json["sha256"] = hash_bytes(memory.subspan(context.offset, context.used_bytes)).to_hex();
    contexts.push_back(std::move(json));
  }
  std::string clock = "the system's";
  if (const auto determinism = actor.instance().determinism()) {
    clock = fmt::format("{} ns, {} random bytes of the seed {}", determinism->clock_ns, determinism->random_position,
                        determinism->seed);
  }
  return {{"memory", hash_bytes(memory).to_hex()},
          {"globals", hash_globals(actor.instance().globals()).to_hex()},
          {"clock", std::move(clock)},
          {"contexts", std::move(contexts)}};
}

std::vector<std::uint64_t> page_digests(std::span<const std::byte> memory) {
  std::vector<std::uint64_t> pages;
  for (std::size_t offset = 0; offset < memory.size(); offset += kDigestPage) {
    const Hash hash = hash_bytes(memory.subspan(offset, kDigestPage));
    std::uint64_t bits = 0;
    std::memcpy(&bits, hash.bytes.data(), sizeof bits);
    pages.push_back(bits);
  }
  return pages;
}

Result<void> write_pages(const std::filesystem::path& path, std::span<const std::uint64_t> pages) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(pages.data()), static_cast<std::streamsize>(pages.size_bytes()));
  file.close();
  if (file) return {};
  return fail(ErrorCode::unavailable, "The file \"" + path.string() + "\" cannot be written.");
}

Result<std::vector<std::uint64_t>> read_pages(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  std::vector<std::uint64_t> pages(error ? 0 : size / sizeof(std::uint64_t));
  std::ifstream file(path, std::ios::binary);
  if (error || !file.read(reinterpret_cast<char*>(pages.data()), static_cast<std::streamsize>(size))) {
    return fail(ErrorCode::unavailable, "The file \"" + path.string() + "\" cannot be read.");
  }
  return pages;
}

std::string owner_of(std::uint64_t address, const Json& contexts) {
  for (const Json& context : contexts) {
    const auto offset = context.at("offset").get<std::uint64_t>();
    if (address < offset || address - offset >= context.at("bytes").get<std::uint64_t>()) continue;
    const auto rows = context.at("kv_offset").get<std::uint64_t>();
    if (address - offset < rows) return fmt::format("the header of the Context at {:#x}", offset);
    const auto stride = context.at("token_stride").get<std::uint64_t>();
    return fmt::format("the KV rows of token {} in the Context at {:#x}", (address - offset - rows) / stride, offset);
  }
  return "the guest's own data (statics, stack or heap)";
}

}  // namespace driftwood::cli
