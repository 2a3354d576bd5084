#include "snapshot/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "snapshot/json_fields.hpp"

namespace driftwood {
namespace {

constexpr std::size_t kNesting = 4;

struct TypeName {
  WasmType type;
  std::string_view name;
  std::size_t size;
};
constexpr std::array kTypes = {TypeName{WasmType::i32, "i32", 4}, TypeName{WasmType::i64, "i64", 8},
                               TypeName{WasmType::f32, "f32", 4}, TypeName{WasmType::f64, "f64", 8},
                               TypeName{WasmType::v128, "v128", 16}};

/// "i32:2a000000": the bits from the first byte on.
std::string encode_global(const WasmValue& value) {
  const auto& type = *std::ranges::find(kTypes, value.type, &TypeName::type);
  std::string text(type.name);
  text += ':';
  for (std::size_t i = 0; i < type.size; ++i) text += fmt::format("{:02x}", value.bits[i]);
  return text;
}

std::optional<WasmValue> decode_global(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto type = std::ranges::find(kTypes, text.substr(0, colon), &TypeName::name);
  if (colon == text.npos || type == kTypes.end()) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  if (digits.size() != 2 * type->size) return std::nullopt;
  WasmValue value{.type = type->type};
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const char c = digits[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    const int nibble = digit ? c - '0' : c - 'a' + 10;
    value.bits[i / 2] = static_cast<std::uint8_t>(value.bits[i / 2] * 16 + nibble);
  }
  return value;
}

Json encode_numerics(const NumericsFingerprint& numerics) {
  return {{"architecture", numerics.architecture},
          {"device", numerics.device},
          {"features", numerics.features},
          {"kernels", numerics.kernels},
          {"threads", numerics.threads}};
}

Json encode_wasi(const Manifest::Wasi& wasi) {
  Json directories = Json::array(), environment = Json::array();
  for (const auto& directory : wasi.directories) {
    directories.push_back({{"guest", directory.guest}, {"host", directory.host}, {"read_only", directory.read_only}});
  }
  for (const auto& [name, value] : wasi.environment) environment.push_back(name + "=" + value);
  return {{"arguments", wasi.arguments}, {"directories", directories}, {"environment", environment}};
}

Json to_json(const Manifest& manifest) {
  Json json = {{"abi", manifest.abi_version},
               {"actor", manifest.actor},
               {"created", manifest.created_ns},
               {"fork_index", manifest.fork_index},
               {"globals", Json::array()},
               {"label", manifest.label},
               {"limits",
                {{"memory_bytes", manifest.limits.memory_bytes},
                 {"run_time_ms", manifest.limits.run_time_ms},
                 {"table_elements", manifest.limits.table_elements}}},
               {"models", Json::array()},
               {"numerics", encode_numerics(manifest.numerics)},
               {"program", {{"hash", manifest.program.hash.to_hex()}, {"name", manifest.program.name}}},
               {"wasi", encode_wasi(manifest.wasi)}};
  for (const WasmValue& value : manifest.globals) json["globals"].push_back(encode_global(value));
  for (const auto& model : manifest.models) {
    json["models"].push_back({{"handle", model.handle}, {"hash", model.hash.to_hex()}, {"name", model.name}});
  }
  if (manifest.parent) json["parent"] = manifest.parent->to_hex();
  if (manifest.determinism) {
    json["determinism"] = {{"clock_ns", manifest.determinism->clock_ns},
                           {"random_position", manifest.determinism->random_position},
                           {"seed", manifest.determinism->seed}};
  }
  return json;
}

Result<Hash> hash_member(JsonFields& fields, const char* name) {
  DW_TRY_ASSIGN(const std::string hex, fields.text(name));
  auto hash = Hash::from_hex(hex);
  if (hash) return *hash;
  return fail(ErrorCode::corrupt,
              fmt::format("{} has a member \"{}\" that is no hash: {}", fields.where(), name, hash.error().message));
}

Result<std::vector<std::string>> texts_member(JsonFields& fields, const char* name) {
  DW_TRY_ASSIGN(const Json* array, fields.array(name));
  std::vector<std::string> texts;
  for (const Json& item : *array) {
    if (!item.is_string()) {
      return fail(ErrorCode::corrupt, fmt::format("{} has a member \"{}\" in which item {} is {} instead of a string.",
                                                  fields.where(), name, texts.size(), item.type_name()));
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<void> read_program(JsonFields& manifest, Manifest::ProgramReference& program) {
  DW_TRY_ASSIGN(const Json* member, manifest.member("program"));
  DW_TRY_ASSIGN(auto fields, JsonFields::of(*member, "The manifest's program"));
  DW_TRY_ASSIGN(program.hash, hash_member(fields, "hash"));
  DW_TRY_ASSIGN(program.name, fields.text("name"));
  return fields.finish();
}

Result<void> read_globals(JsonFields& manifest, std::vector<WasmValue>& globals) {
  DW_TRY_ASSIGN(const auto texts, texts_member(manifest, "globals"));
  for (const std::string& text : texts) {
    const auto value = decode_global(text);
    if (!value) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The manifest's global {} is {}, and \"i32:\" (i64, f32, f64, v128) with as many "
                              "hexadecimal digits as the type has is expected.",
                              globals.size(), Json(text).dump()));
    }
    globals.push_back(*value);
  }
  return {};
}

Result<void> read_models(JsonFields& manifest, std::vector<Manifest::ModelReference>& models) {
  DW_TRY_ASSIGN(const Json* array, manifest.array("models"));
  for (const Json& item : *array) {
    DW_TRY_ASSIGN(auto fields, JsonFields::of(item, fmt::format("The manifest's model {}", models.size())));
    Manifest::ModelReference& model = models.emplace_back();
    DW_TRY_ASSIGN(const std::uint64_t handle, fields.unsigned_integer("handle", UINT32_MAX));
    model.handle = static_cast<std::uint32_t>(handle);
    DW_TRY_ASSIGN(model.hash, hash_member(fields, "hash"));
    DW_TRY_ASSIGN(model.name, fields.text("name"));
    DW_TRY(fields.finish());
  }
  return {};
}

Result<void> read_wasi(JsonFields& manifest, Manifest::Wasi& wasi) {
  DW_TRY_ASSIGN(const Json* member, manifest.member("wasi"));
  DW_TRY_ASSIGN(auto fields, JsonFields::of(*member, "The manifest's wasi"));
  DW_TRY_ASSIGN(wasi.arguments, texts_member(fields, "arguments"));
  DW_TRY_ASSIGN(const auto variables, texts_member(fields, "environment"));
  for (const std::string& variable : variables) {
    const std::size_t equals = variable.find('=');
    if (equals == 0 || equals == variable.npos) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The manifest's environment variable {} is not NAME=VALUE.", wasi.environment.size()));
    }
    wasi.environment.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
  }
  DW_TRY_ASSIGN(const Json* directories, fields.array("directories"));
  for (const Json& item : *directories) {
    DW_TRY_ASSIGN(auto entry, JsonFields::of(item, fmt::format("The manifest's folder {}", wasi.directories.size())));
    Manifest::Directory& directory = wasi.directories.emplace_back();
    DW_TRY_ASSIGN(directory.guest, entry.text("guest"));
    DW_TRY_ASSIGN(directory.host, entry.text("host"));
    DW_TRY_ASSIGN(directory.read_only, entry.boolean("read_only"));
    DW_TRY(entry.finish());
  }
  return fields.finish();
}

Result<void> read_numerics(JsonFields& manifest, NumericsFingerprint& numerics) {
  DW_TRY_ASSIGN(const Json* member, manifest.member("numerics"));
  DW_TRY_ASSIGN(auto fields, JsonFields::of(*member, "The manifest's numerics"));
  DW_TRY_ASSIGN(numerics.architecture, fields.text("architecture"));
  DW_TRY_ASSIGN(numerics.device, fields.text("device"));
  DW_TRY_ASSIGN(numerics.features, texts_member(fields, "features"));
  DW_TRY_ASSIGN(numerics.kernels, fields.text("kernels"));
  DW_TRY_ASSIGN(const std::uint64_t threads, fields.unsigned_integer("threads", UINT32_MAX));
  numerics.threads = static_cast<std::uint32_t>(threads);
  return fields.finish();
}

Result<void> read_limits(JsonFields& manifest, Manifest::Limits& limits) {
  DW_TRY_ASSIGN(const Json* member, manifest.member("limits"));
  DW_TRY_ASSIGN(auto fields, JsonFields::of(*member, "The manifest's limits"));
  DW_TRY_ASSIGN(limits.memory_bytes, fields.unsigned_integer("memory_bytes", UINT64_MAX));
  DW_TRY_ASSIGN(limits.run_time_ms, fields.unsigned_integer("run_time_ms", INT64_MAX));
  DW_TRY_ASSIGN(const std::uint64_t elements, fields.unsigned_integer("table_elements", UINT32_MAX));
  limits.table_elements = static_cast<std::uint32_t>(elements);
  return fields.finish();
}

Result<void> read_determinism(JsonFields& manifest, std::optional<Manifest::Determinism>& determinism) {
  const Json* member = manifest.find("determinism");
  if (member == nullptr) return {};
  DW_TRY_ASSIGN(auto fields, JsonFields::of(*member, "The manifest's determinism"));
  Manifest::Determinism value;
  DW_TRY_ASSIGN(value.clock_ns, fields.signed_integer("clock_ns"));
  DW_TRY_ASSIGN(value.random_position, fields.unsigned_integer("random_position", UINT64_MAX));
  DW_TRY_ASSIGN(value.seed, fields.unsigned_integer("seed", UINT64_MAX));
  determinism = value;
  return fields.finish();
}

}  // namespace

Result<std::string> encode_manifest(const Manifest& manifest) {
  for (const auto& variable : manifest.wasi.environment) {
    if (variable.first.empty() || variable.first.contains('=')) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("An environment variable's name (\"{}\") is empty or holds '='.", variable.first));
    }
  }
  std::string text;
  try {
    text = to_json(manifest).dump();
  } catch (const Json::exception&) {
    return fail(ErrorCode::invalid_argument, "A text of the manifest is not UTF-8.");
  }
  if (text.size() > kMaxManifestSize) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The manifest has {} bytes, and at most {} are allowed.", text.size(), kMaxManifestSize));
  }
  return text;
}

Result<Manifest> decode_manifest(std::string_view text) {
  if (text.size() > kMaxManifestSize) {
    return fail(ErrorCode::corrupt,
                fmt::format("The manifest has {} bytes, and at most {} are allowed.", text.size(), kMaxManifestSize));
  }
  DW_TRY_ASSIGN(const Json json, parse_canonical_json(text, kNesting, "The manifest"));
  DW_TRY_ASSIGN(auto fields, JsonFields::of(json, "The manifest"));
  Manifest manifest;
  DW_TRY_ASSIGN(const std::uint64_t abi, fields.unsigned_integer("abi", UINT32_MAX));
  manifest.abi_version = static_cast<std::uint32_t>(abi);
  DW_TRY_ASSIGN(manifest.actor, fields.text("actor"));
  DW_TRY_ASSIGN(manifest.label, fields.text("label"));
  DW_TRY_ASSIGN(manifest.created_ns, fields.signed_integer("created"));
  DW_TRY_ASSIGN(const std::uint64_t fork_index, fields.unsigned_integer("fork_index", UINT32_MAX));
  manifest.fork_index = static_cast<std::uint32_t>(fork_index);
  if (const Json* parent = fields.find("parent"); parent != nullptr) {
    auto hash = parent->is_string() ? Hash::from_hex(parent->get_ref<const std::string&>())
                                    : Result<Hash>(fail(ErrorCode::corrupt, "It is not a string."));
    if (!hash) return fail(ErrorCode::corrupt, "The manifest's parent is no hash: " + hash.error().message);
    manifest.parent = *hash;
  }
  DW_TRY(read_program(fields, manifest.program));
  DW_TRY(read_globals(fields, manifest.globals));
  DW_TRY(read_models(fields, manifest.models));
  DW_TRY(read_wasi(fields, manifest.wasi));
  DW_TRY(read_numerics(fields, manifest.numerics));
  DW_TRY(read_limits(fields, manifest.limits));
  DW_TRY(read_determinism(fields, manifest.determinism));
  DW_TRY(fields.finish());
  return manifest;
}

}  // namespace driftwood
