// An Inspection as text, as JSON and as a drawing.

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "actor_digest.hpp"
#include "inspection.hpp"
#include "snapshot_text.hpp"

namespace driftwood::cli {
namespace {

std::string value_text(const WasmValue& value) {
  std::string digits;
  for (std::size_t i = size_of(value.type); i-- > 0;) digits += fmt::format("{:02x}", value.bits[i]);
  return "0x" + digits;
}

std::string title_of(const SnapshotInfo& info) {
  return info.labels.empty() ? short_id(info.id) : joined(info.labels) + " (" + short_id(info.id) + ")";
}

std::string chunks_text(const MemoryMap& map, ChunkKind kind) {
  return fmt::format("{} ({} chunks)", format_bytes(map.count(kind) * kMapChunk), map.count(kind));
}

Json numerics_json(const NumericsFingerprint& numerics) {
  return {{"device", numerics.device},
          {"architecture", numerics.architecture},
          {"kernels", numerics.kernels},
          {"features", numerics.features},
          {"threads", numerics.threads}};
}

Json wasi_json(const Manifest::Wasi& wasi) {
  Json environment = Json::array();
  for (const auto& [name, value] : wasi.environment) environment.push_back({{"name", name}, {"value", value}});
  Json directories = Json::array();
  for (const auto& folder : wasi.directories) {
    directories.push_back({{"host", folder.host}, {"guest", folder.guest}, {"read_only", folder.read_only}});
  }
  return {{"arguments", wasi.arguments}, {"environment", environment}, {"directories", directories}};
}

}  // namespace

std::string Inspection::text() const {
  std::string out;
  const auto line = [&out](std::string_view label, const std::string& value) {
    fmt::format_to(std::back_inserter(out), "{:<12}{}\n", label, printable(value));
  };
  line("id", info.id.to_hex());
  line("labels", joined(info.labels));
  line("created", local_time(info.created_ns));
  line("program", fmt::format("{} (SHA-256 {})", manifest.program.name, manifest.program.hash.to_hex()));
  if (!manifest.actor.empty()) line("actor", manifest.actor);
  if (manifest.fork_index != 0) line("fork", fmt::format("child {}", manifest.fork_index));
  line("parent", info.parent ? short_id(*info.parent) + (lineage.empty() ? " (not here)" : "") : "none");
  if (lineage.size() > 1) line("lineage", fmt::format("{} older snapshots are here", lineage.size()));
  line("memory", fmt::format("{}, {} of it on the disk for this snapshot", format_bytes(info.memory_size),
                             format_bytes(info.own_bytes)));
  line(compared ? "  changed" : "  own", chunks_text(map, ChunkKind::own));
  if (compared) line("  shared", chunks_text(map, ChunkKind::shared) + " with the parent");
  line("  zero", chunks_text(map, ChunkKind::zero));
  for (const auto& model : manifest.models) line("model", model.name + " (SHA-256 " + model.hash.to_hex() + ")");
  for (const FoundContext& context : contexts) {
    line("context", fmt::format("at {:#x}: {} of {} tokens, {}, {} of {}{}", context.offset, context.n_tokens,
                                context.n_ctx, context.kv_type, format_bytes(context.used_bytes),
                                format_bytes(context.bytes), context.checked ? "" : " (not held to its model)"));
  }
  std::string globals;
  for (const WasmValue& value : manifest.globals) {
    globals += fmt::format("{}{} {}", globals.empty() ? "" : ", ", to_string(value.type), value_text(value));
  }
  line("globals", globals.empty() ? "none" : globals);
  const NumericsFingerprint& numerics = manifest.numerics;
  line("computed on", numerics.device.empty()
                          ? "nothing"
                          : fmt::format("{} ({}, {})", numerics.device, numerics.architecture, numerics.kernels));
  if (manifest.determinism) {
    line("clock", fmt::format("virtual, and random numbers of the seed {}", manifest.determinism->seed));
  }
  if (signer) line("signed by", signer->to_hex());
  for (const auto& [role, words] : transcript) {
    fmt::format_to(std::back_inserter(out), "\n{}:\n  {}\n", printable(role), printable(words));
  }
  return out;
}

Json Inspection::to_json() const {
  Json json = snapshot_json(info);
  json["signer"] = signer ? Json(signer->to_hex()) : Json();
  json["lineage"] = Json::array();
  for (const SnapshotInfo& older : lineage) json["lineage"].push_back(older.id.to_hex());
  json["memory_sha256"] = memory_hash.to_hex();
  json["globals_sha256"] = hash_globals(manifest.globals).to_hex();
  json["chunk_bytes"] = kMapChunk;
  json["compared_with_parent"] = compared;
  json["chunks"] = {{"own", map.count(ChunkKind::own)},
                    {"shared", map.count(ChunkKind::shared)},
                    {"zero", map.count(ChunkKind::zero)},
                    {"all", map.chunks.size()}};
  json["models"] = Json::array();
  for (const auto& model : manifest.models) {
    json["models"].push_back({{"handle", model.handle}, {"name", model.name}, {"sha256", model.hash.to_hex()}});
  }
  json["globals"] = Json::array();
  for (const WasmValue& value : manifest.globals) {
    json["globals"].push_back({{"type", std::string(to_string(value.type))}, {"bits", value_text(value)}});
  }
  json["contexts"] = Json::array();
  for (const FoundContext& context : contexts) json["contexts"].push_back(context_json(context));
  json["numerics"] = numerics_json(manifest.numerics);
  json["wasi"] = wasi_json(manifest.wasi);
  json["limits"] = {{"memory_bytes", manifest.limits.memory_bytes},
                    {"run_time_ms", manifest.limits.run_time_ms},
                    {"table_elements", manifest.limits.table_elements}};
  json["determinism"] = nullptr;
  if (manifest.determinism) {
    json["determinism"] = {{"seed", manifest.determinism->seed},
                           {"random_position", manifest.determinism->random_position},
                           {"clock_ns", manifest.determinism->clock_ns}};
  }
  json["transcript"] = Json::array();
  for (const auto& [role, words] : transcript) json["transcript"].push_back({{"role", role}, {"text", words}});
  json["notes"] = notes;
  return json;
}

std::string Inspection::drawing() const {
  const std::string actor = manifest.actor.empty() ? "" : ", actor " + manifest.actor;
  return draw_memory_map(
      map, contexts,
      {.title = title_of(info),
       .subtitle = printable(fmt::format("{}{}, {} of linear memory, saved {}", manifest.program.name, actor,
                                         format_bytes(info.memory_size), local_time(info.created_ns))),
       .has_parent = compared});
}

}  // namespace driftwood::cli
