#include "program_files.hpp"

#include <chrono>
#include <fstream>
#include <string_view>
#include <system_error>

#include "core/bytes.hpp"
#include "core/hash.hpp"
#include "guests.hpp"
#include "paths.hpp"
#include "snapshot/file.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kChatName = "chat.wasm";
constexpr std::string_view kUnfinished = ".new-";  // begins the names of files that are being written
/// A module is written in much less.
constexpr std::chrono::hours kLeftOver{24};

fs::path kept_path(const fs::path& folder, const Hash& hash) { return folder / (hash.to_hex() + ".wasm"); }

bool holds(const fs::path& path, const std::vector<std::byte>& bytes) {
  std::error_code error;
  if (fs::file_size(path, error) != bytes.size() || error) return false;
  const auto file = read_program(path);
  return file && file->bytes == bytes;
}

Result<void> write_durably(const fs::path& path, const std::vector<std::byte>& bytes) {
  DW_TRY_ASSIGN(File file, File::create(path));
  DW_TRY(file.write_at(0, bytes));
  return file.sync();
}

ProgramFile built_in_chat() { return {kChatName, {chat_guest().begin(), chat_guest().end()}}; }

}  // namespace

Result<ProgramFile> read_program(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) {
    const ErrorCode code =
        error == std::errc::no_such_file_or_directory ? ErrorCode::not_found : ErrorCode::invalid_argument;
    return fail(code, "The program \"" + path.string() + "\" cannot be read: " + error.message() + ".");
  }
  if (size > kGiB) {
    return fail(ErrorCode::invalid_argument,
                "The program \"" + path.string() + "\" has " + format_bytes(size) + "; a module has at most 1 GiB.");
  }
  ProgramFile program{path.filename().string(), std::vector<std::byte>(size)};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(program.bytes.data()), static_cast<std::streamsize>(size))) {
    return fail(ErrorCode::not_found, "The program \"" + path.string() + "\" cannot be read.");
  }
  return program;
}

Result<ProgramFile> chat_program(const std::string& path) {
  if (!path.empty()) return read_program(path);
  if (!chat_guest().empty()) return built_in_chat();
  return fail(ErrorCode::unsupported,
              "This build has no chat actor of its own (DRIFTWOOD_BUILD_GUESTS was off); name one with --guest.");
}

Result<ProgramFile> find_program(const Manifest::ProgramReference& program, const std::string& path) {
  if (!path.empty()) return read_program(path);
  DW_TRY_ASSIGN(const auto folder, program_store_path());
  const fs::path kept = kept_path(folder, program.hash);
  std::error_code error;
  const bool is_kept = fs::is_regular_file(kept, error);
  if (is_kept) {
    auto file = read_program(kept);
    if (file && hash_bytes(file->bytes) == program.hash) {
      if (!program.name.empty()) file->name = program.name;
      return file;
    }
  }
  if (!chat_guest().empty() && hash_bytes(chat_guest()) == program.hash) return built_in_chat();
  const std::string wanted = "The snapshot is of the program " +
                             (program.name.empty() ? "without a name" : program.name) + " (SHA-256 " +
                             program.hash.to_hex() + "), ";
  if (is_kept) {
    return fail(ErrorCode::corrupt, wanted + "and what was kept of it as \"" + kept.string() +
                                        "\" is damaged; name its file with --program.");
  }
  return fail(ErrorCode::not_found, wanted + "which is not here; name its file with --program.");
}

Result<void> keep_program(const ProgramFile& program) {
  DW_TRY_ASSIGN(const auto folder, program_store_path());
  const fs::path kept = kept_path(folder, hash_bytes(program.bytes));
  if (holds(kept, program.bytes)) return {};
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::unavailable, "The folder " + folder.string() + " cannot be made: " + error.message() + ".");
  }
  const fs::path fresh = folder / (std::string(kUnfinished) + unused_name());
  auto written = write_durably(fresh, program.bytes);
  if (written) written = rename_file(fresh, kept);
  if (!written) {
    fs::remove(fresh, error);
    return std::unexpected(std::move(written).error().with_context("while keeping the program " + program.name));
  }
  DW_TRY(sync_folder(folder));
  return made ? sync_folder(folder.parent_path()) : Result<void>{};
}

Result<Store::Collected> collect_programs() {
  DW_TRY_ASSIGN(const auto folder, program_store_path());
  std::vector<fs::directory_entry> left;
  const auto now = fs::file_time_type::clock::now();
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    const bool old = entry->last_write_time(gone) < now - kLeftOver;
    if (!gone && old && entry->path().filename().native().starts_with(kUnfinished)) left.push_back(*entry);
  }
  Store::Collected collected;
  for (const fs::directory_entry& entry : left) {
    const auto size = entry.file_size(error);
    const std::uint64_t bytes = error ? 0 : size;
    if (!fs::remove(entry, error)) continue;  // somebody else's
    ++collected.files;
    collected.bytes += bytes;
  }
  return collected;
}

Result<std::shared_ptr<const Program>> compile_program(Engine& engine, const ProgramFile& file,
                                                       const ProgramOptions& options) {
  auto program = Program::compile(engine, file.bytes, options);
  if (!program)
    return std::unexpected(std::move(program).error().with_context("while reading the program " + file.name));
  return program;
}

}  // namespace driftwood::cli
