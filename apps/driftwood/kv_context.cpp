#include "kv_context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "chat_session.hpp"
#include "known_models.hpp"
#include "snapshot/new_file.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;

Result<FoundContext> choose(const std::vector<FoundContext>& contexts, std::optional<std::uint32_t> number) {
  if (contexts.empty()) return fail(ErrorCode::not_found, "There is no Context in the snapshot's memory.");
  if (!number && contexts.size() > 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("There are {} Contexts in the snapshot's memory; choose one with --context 1 to {}, in the "
                            "order of \"driftwood inspect\".",
                            contexts.size(), contexts.size()));
  }
  const std::uint32_t wanted = number.value_or(1);
  if (wanted == 0 || wanted > contexts.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("There is no Context {}; the snapshot's memory has {}.", wanted, contexts.size()));
  }
  return contexts[wanted - 1];
}

std::int64_t now_ns() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_1970).count();
}

}  // namespace

Result<KvContext> KvContext::open(Store& store, const SnapshotId& id, std::optional<std::uint32_t> number,
                                  const ThawOptions& options) {
  KvContext context;
  context.id_ = id;
  DW_TRY_ASSIGN(context.snapshot_, store.load(id));
  const auto& memory = context.snapshot_.memory;
  DW_TRY_ASSIGN(context.memory_, Region::create_over(memory, linear_memory_options(memory->size())));
  std::vector<std::string> notes;
  const auto models = known_models(context.snapshot_.manifest, options, notes);
  DW_TRY_ASSIGN(context.found_, choose(find_contexts(context.memory_->bytes(), models), number));
  const auto model = std::ranges::find(models, context.found_.model, &KnownModel::hash);
  if (model == models.end()) {
    return fail(ErrorCode::not_found, "The Context's model (SHA-256 " + context.found_.model.to_hex() +
                                          ") is not here, so its rows cannot " + "be told apart." +
                                          (notes.empty() ? "" : " " + notes.front()));
  }
  context.model_ = *model;
  return context;
}

Result<std::vector<std::int32_t>> KvContext::ask_tokens(const ThawOptions& options) const {
  static constexpr std::chrono::seconds kPatience{20};
  DW_TRY_ASSIGN(SnapshotHost host, SnapshotHost::open(snapshot_.manifest, options, false));
  host.options.limits.run_time = kPatience;
  DW_TRY_ASSIGN(auto resumed, ChatSession::resume(host.program, snapshot_, host.options));
  DW_TRY_ASSIGN(auto tokens, resumed.session->tokens());
  const std::uint32_t n_vocab = model_.hyperparameters.n_vocab;
  const auto known = [n_vocab](std::int32_t token) { return token >= 0 && std::uint32_t(token) < n_vocab; };
  if (tokens.size() != found_.n_tokens || !std::ranges::all_of(tokens, known)) {
    return fail(ErrorCode::incompatible,
                fmt::format("The actor names {} tokens that are not those of the Context's {}.", tokens.size(),
                            found_.n_tokens));
  }
  return tokens;
}

Result<std::uint64_t> KvContext::write(const fs::path& path, std::span<const std::int32_t> tokens) const {
  DW_TRY_ASSIGN(NewFile file, NewFile::create(path));
  std::uint64_t size = 0;
  DW_TRY(write_kv_tensors(bytes(), model_, tokens, {{"snapshot", id_.to_hex()}}, [&](std::span<const std::byte> piece) {
    const std::uint64_t offset = std::exchange(size, size + piece.size());
    return file.file().write_at(offset, piece);
  }));
  DW_TRY(file.publish());
  return size;
}

Result<KvChange> KvContext::change(const fs::path& path) {
  DW_TRY_ASSIGN(const Safetensors file, Safetensors::open(path));
  return read_kv_tensors(file, bytes(), model_);
}

Result<SnapshotId> KvContext::save(Store& store, std::string_view label) {
  Snapshot changed{snapshot_.manifest, nullptr};
  DW_TRY_ASSIGN(changed.memory, memory_->seal());
  changed.manifest.parent = id_;
  changed.manifest.label = label;
  changed.manifest.created_ns = now_ns();
  return store.save(changed, label);
}

}  // namespace driftwood::cli
