#include "kv_context.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "chat_session.hpp"
#include "known_models.hpp"
#include "snapshot/file.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;

/// A file that gets its name when it is whole and on the disk.
class NewFile {
 public:
  static Result<NewFile> create(const fs::path& path) {
    std::error_code error;
    if (fs::exists(path, error)) {
      return fail(ErrorCode::invalid_argument, "There is a file \"" + path.string() + "\" already.");
    }
    fs::path unfinished = path;
    unfinished += ".unfinished-" + std::to_string(getpid());
    const int fd = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    // Errors name the file that was asked for.
    if (fd < 0) return refused(LastError(), path);
    return NewFile(File::adopt(fd, path), std::move(unfinished));
  }
  NewFile(NewFile&&) = default;
  ~NewFile() {
    if (file_.fd() >= 0 && !named_) ::unlink(unfinished_.c_str());
  }

  Result<void> write(std::span<const std::byte> bytes) {
    DW_TRY(file_.write_at(size_, bytes));
    size_ += bytes.size();
    return {};
  }
  /// The value is its size.
  Result<std::uint64_t> finish() {
    DW_TRY(file_.sync());
    if (::rename(unfinished_.c_str(), file_.path().c_str()) != 0) return refused(LastError(), file_.path());
    named_ = true;
    return size_;
  }

 private:
  NewFile(File file, fs::path unfinished) : file_(std::move(file)), unfinished_(std::move(unfinished)) {}
  static std::unexpected<Error> refused(const LastError& error, const fs::path& path) {
    auto failed = error.because("The file " + path.string() + " cannot be written");
    failed.error().code = ErrorCode::unavailable;
    return failed;
  }

  File file_;
  fs::path unfinished_;
  std::uint64_t size_ = 0;
  bool named_ = false;
};

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
  DW_TRY(write_kv_tensors(bytes(), model_, tokens, {{"snapshot", id_.to_hex()}},
                          [&file](std::span<const std::byte> piece) { return file.write(piece); }));
  return file.finish();
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
