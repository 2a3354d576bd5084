#include "llm/kv_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "llm/context.hpp"

namespace driftwood {
namespace {

constexpr std::string_view kFormat = "driftwood-kv";
constexpr std::string_view kVersion = "1";
constexpr std::uint32_t kQ8Block = 32;  // elements

/// A part of each row that makes one tensor: the elements, or their scales. In a row its pieces lie `stride` apart.
struct Part {
  const char* suffix;
  const char* dtype;
  std::uint32_t element;   ///< bytes
  std::uint32_t heads_of;  ///< elements of a head
  std::uint32_t first;     ///< byte of the row at which its first piece lies
  std::uint32_t piece;     ///< bytes
  std::uint32_t stride;    ///< from one piece to the next
};

std::vector<Part> parts_of(KvType type, const Hyperparameters& model) {
  constexpr std::uint32_t kScale = 2;
  if (type == KvType::f16) return {{"", "F16", 2, model.head_dim, 0, 1, 1}};
  return {{"", "I8", 1, model.head_dim, kScale, kQ8Block, kScale + kQ8Block},
          {"_scale", "F16", 2, model.head_dim / kQ8Block, 0, kScale, kScale + kQ8Block}};
}

/// One tensor of a Context, and where its bytes lie in each token's record.
struct RowTensor {
  SafetensorsTensor tensor;
  std::uint32_t offset = 0;     ///< in a token's record, of the row
  std::uint32_t row_bytes = 0;  ///< of the row there
  std::uint32_t bytes = 0;      ///< of one token in the tensor
  Part part{};

  /// Calls visit(offset in the record, offset in the tensor's token, bytes) for each piece.
  template <typename Visit>
  void each_piece(Visit visit) const {
    if (part.piece == part.stride) {
      visit(offset, 0u, row_bytes);
      return;
    }
    std::uint32_t at = 0;
    for (std::uint32_t in_row = part.first; in_row < row_bytes; in_row += part.stride, at += part.piece) {
      visit(offset + in_row, at, part.piece);
    }
  }
};

/// The tensors of rows, in the order of the file.
std::vector<RowTensor> row_tensors(const ContextLayout& layout, const Hyperparameters& model, std::uint32_t n_tokens) {
  std::vector<RowTensor> list;
  for (const Part& part : parts_of(layout.kv_type, model)) {
    for (std::uint32_t layer = 0; layer < layout.n_layer; ++layer) {
      for (const bool value : {false, true}) {
        RowTensor row;
        row.tensor.name = fmt::format("layers.{}.{}{}", layer, value ? "value" : "key", part.suffix);
        row.tensor.dtype = part.dtype;
        row.tensor.shape = {n_tokens, model.n_head_kv, part.heads_of};
        row.offset = static_cast<std::uint32_t>(layout.layer_offset(layer)) + (value ? layout.row_bytes : 0);
        row.row_bytes = layout.row_bytes;
        row.bytes = model.n_head_kv * part.heads_of * part.element;
        row.tensor.size = std::uint64_t{n_tokens} * row.bytes;
        row.part = part;
        list.push_back(std::move(row));
      }
    }
  }
  return list;
}

std::string_view kv_type_name(KvType type) { return type == KvType::f16 ? "f16" : "q8_0"; }

std::map<std::string, std::string> describe(const CheckedContext& checked, const KvModel& model) {
  const Hyperparameters& numbers = model.hyperparameters;
  return {{"format", std::string(kFormat)},
          {"version", std::string(kVersion)},
          {"model", model.name},
          {"model_sha256", model.hash.to_hex()},
          {"kv_type", std::string(kv_type_name(checked.layout.kv_type))},
          {"n_tokens", fmt::to_string(checked.n_tokens)},
          {"n_ctx", fmt::to_string(checked.layout.n_ctx)},
          {"n_layer", fmt::to_string(numbers.n_layer)},
          {"n_head_kv", fmt::to_string(numbers.n_head_kv)},
          {"head_dim", fmt::to_string(numbers.head_dim)},
          {"layout", "token, kv_head, element"},
          {"rope", "applied to keys; token i is at position i"}};
}

/// Holds the file's metadata to the model. Shapes and types tell the rest, and how many tokens there are now.
Result<void> check_metadata(const Safetensors& file, const KvModel& model) {
  const auto value = [&file](const char* name) -> Result<std::string> {
    const auto found = file.metadata().find(name);
    if (found != file.metadata().end()) return found->second;
    return fail(ErrorCode::corrupt, fmt::format("The file's metadata do not say its \"{}\"; what was exported does. "
                                                "Tools that rewrite a file have to be given its metadata.",
                                                name));
  };
  DW_TRY_ASSIGN(const std::string format, value("format"));
  if (format != kFormat) {
    return fail(ErrorCode::corrupt, fmt::format("The file's format is \"{}\", not \"{}\".", format, kFormat));
  }
  DW_TRY_ASSIGN(const std::string version, value("version"));
  if (version != kVersion) {
    return fail(ErrorCode::incompatible,
                fmt::format("The file is of version {}; version {} is read.", version, kVersion));
  }
  DW_TRY_ASSIGN(const std::string hash, value("model_sha256"));
  if (hash != model.hash.to_hex()) {
    return fail(ErrorCode::incompatible, fmt::format("The file's rows are of the model {}, and the Context's of {} "
                                                     "({}).",
                                                     hash, model.hash.to_hex(), model.name));
  }
  return {};
}

/// As many as the first layer's keys are of. The other tensors are held to it.
Result<std::uint32_t> count_tokens(const Safetensors& file, const CheckedContext& checked) {
  const SafetensorsTensor* keys = file.find("layers.0.key");
  if (keys == nullptr || keys->shape.empty()) {
    return fail(ErrorCode::corrupt, "The file has no tensor \"layers.0.key\" of KV rows.");
  }
  const bool f16 = checked.layout.kv_type == KvType::f16;
  if (keys->dtype == (f16 ? "I8" : "F16")) {
    return fail(ErrorCode::incompatible, fmt::format("The file's rows are {}, and the Context's {}.",
                                                     f16 ? "q8_0" : "f16", kv_type_name(checked.layout.kv_type)));
  }
  if (keys->shape[0] > checked.layout.n_ctx) {
    return fail(ErrorCode::invalid_argument, fmt::format("The file has the rows of {} tokens; the Context holds {}.",
                                                         keys->shape[0], checked.layout.n_ctx));
  }
  return static_cast<std::uint32_t>(keys->shape[0]);
}

/// Finds the tensors that a Context of this layout has; the file has no others.
Result<void> find_tensors(const Safetensors& file, std::uint32_t n_tokens, std::vector<RowTensor>& rows) {
  std::size_t known = 0;
  if (const SafetensorsTensor* tokens = file.find("tokens")) {
    if (tokens->dtype != "I32" || tokens->shape != std::vector<std::uint64_t>{n_tokens}) {
      return fail(ErrorCode::corrupt, fmt::format("The tensor \"tokens\" is {} [{}], where it must be I32 [{}].",
                                                  tokens->dtype, fmt::join(tokens->shape, ", "), n_tokens));
    }
    ++known;
  }
  for (RowTensor& row : rows) {
    const SafetensorsTensor* found = file.find(row.tensor.name);
    if (found == nullptr) {
      return fail(ErrorCode::corrupt, fmt::format("The file has no tensor \"{}\".", row.tensor.name));
    }
    if (found->dtype != row.tensor.dtype || found->shape != row.tensor.shape) {
      return fail(ErrorCode::corrupt,
                  fmt::format("The tensor \"{}\" is {} [{}], where it must be {} [{}].", found->name, found->dtype,
                              fmt::join(found->shape, ", "), row.tensor.dtype, fmt::join(row.tensor.shape, ", ")));
    }
    row.tensor = *found;
    ++known;
  }
  if (file.tensors().size() != known) {
    return fail(ErrorCode::corrupt, fmt::format("The file has {} tensors, and a Context of this model has {}.",
                                                file.tensors().size(), known));
  }
  return {};
}

Result<std::vector<std::int32_t>> read_tokens(const Safetensors& file, std::uint32_t n_vocab) {
  const SafetensorsTensor* tensor = file.find("tokens");
  if (tensor == nullptr) return {};
  std::vector<std::int32_t> tokens(tensor->shape[0]);
  DW_TRY(file.read_bytes(*tensor, 0, std::as_writable_bytes(std::span(tokens))));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<std::uint32_t>(tokens[i]) < n_vocab) continue;
    return fail(ErrorCode::corrupt, fmt::format("The file's token {} is {}, and the model's lie between 0 and {}.", i,
                                                tokens[i], n_vocab - 1));
  }
  return tokens;
}

}  // namespace

Result<void> write_kv_tensors(std::span<const std::byte> context, const KvModel& model,
                              std::span<const std::int32_t> tokens, const std::map<std::string, std::string>& more,
                              const WriteBytes& write) {
  DW_TRY_ASSIGN(const CheckedContext checked, check_context(context, model.hyperparameters, model.hash));
  if (!tokens.empty() && tokens.size() != checked.n_tokens) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The Context has {} tokens, and {} were given.", checked.n_tokens, tokens.size()));
  }
  const auto rows = row_tensors(checked.layout, model.hyperparameters, checked.n_tokens);
  std::vector<SafetensorsTensor> tensors;
  if (!tokens.empty()) tensors.push_back({"tokens", "I32", {tokens.size()}, 0, tokens.size_bytes()});
  for (const RowTensor& row : rows) tensors.push_back(row.tensor);
  auto metadata = describe(checked, model);
  metadata.insert(more.begin(), more.end());
  const std::string header = encode_safetensors_header(metadata, tensors);
  DW_TRY(write(std::as_bytes(std::span(header))));
  DW_TRY(write(std::as_bytes(tokens)));

  std::vector<std::byte> bytes;
  for (const RowTensor& row : rows) {
    bytes.resize(row.tensor.size);
    for (std::uint32_t token = 0; token < checked.n_tokens; ++token) {
      const std::byte* record =
          context.data() + checked.layout.kv_offset + std::size_t{token} * checked.layout.token_stride;
      std::byte* out = bytes.data() + std::size_t{token} * row.bytes;
      row.each_piece([&](std::uint32_t from, std::uint32_t to, std::uint32_t size) {
        std::memcpy(out + to, record + from, size);
      });
    }
    DW_TRY(write(bytes));
  }
  return {};
}

Result<KvChange> read_kv_tensors(const Safetensors& file, std::span<std::byte> context, const KvModel& model) {
  DW_TRY_ASSIGN(const CheckedContext checked, check_context(context, model.hyperparameters, model.hash));
  DW_TRY(check_metadata(file, model));
  KvChange change;
  DW_TRY_ASSIGN(change.n_tokens, count_tokens(file, checked));
  auto rows = row_tensors(checked.layout, model.hyperparameters, change.n_tokens);
  DW_TRY(find_tensors(file, change.n_tokens, rows));
  DW_TRY_ASSIGN(change.tokens, read_tokens(file, model.hyperparameters.n_vocab));

  std::vector<bool> changed(change.n_tokens);
  std::vector<std::byte> bytes;
  for (const RowTensor& row : rows) {
    bytes.resize(row.tensor.size);
    DW_TRY(file.read_bytes(row.tensor, 0, bytes));
    for (std::uint32_t token = 0; token < change.n_tokens; ++token) {
      std::byte* record = context.data() + checked.layout.kv_offset + std::size_t{token} * checked.layout.token_stride;
      const std::byte* in = bytes.data() + std::size_t{token} * row.bytes;
      row.each_piece([&](std::uint32_t to, std::uint32_t from, std::uint32_t size) {
        if (std::memcmp(record + to, in + from, size) == 0) return;
        std::memcpy(record + to, in + from, size);
        changed[token] = true;
      });
    }
  }
  change.changed = static_cast<std::uint32_t>(std::ranges::count(changed, true));
  if (change.n_tokens != checked.n_tokens) set_context_tokens(context, change.n_tokens);
  return change;
}

}  // namespace driftwood
