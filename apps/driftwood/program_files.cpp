#include "program_files.hpp"

#include <unistd.h>

#include <fstream>
#include <system_error>

#include "core/bytes.hpp"
#include "core/hash.hpp"
#include "guests.hpp"
#include "paths.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kChatName = "chat.wasm";

fs::path kept_path(const fs::path& folder, const Hash& hash) { return folder / (hash.to_hex() + ".wasm"); }

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
  std::error_code error;
  if (const auto kept = kept_path(folder, program.hash); fs::is_regular_file(kept, error)) {
    DW_TRY_ASSIGN(auto file, read_program(kept));
    if (!program.name.empty()) file.name = program.name;
    return file;
  }
  if (!chat_guest().empty() && hash_bytes(chat_guest()) == program.hash) return built_in_chat();
  return fail(ErrorCode::not_found, "The snapshot is of the program " +
                                        (program.name.empty() ? "without a name" : program.name) + " (SHA-256 " +
                                        program.hash.to_hex() + "), which is not here; name its file with --program.");
}

Result<void> keep_program(const ProgramFile& program) {
  DW_TRY_ASSIGN(const auto folder, program_store_path());
  const fs::path kept = kept_path(folder, hash_bytes(program.bytes));
  std::error_code error;
  if (fs::is_regular_file(kept, error)) return {};
  fs::create_directories(folder, error);
  const fs::path fresh = folder / (".new-" + std::to_string(getpid()));
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(program.bytes.data()), static_cast<std::streamsize>(program.bytes.size()));
  file.close();
  if (file) fs::rename(fresh, kept, error);
  if (file && !error) return {};
  fs::remove(fresh, error);
  return fail(ErrorCode::unavailable, "The program could not be kept as \"" + kept.string() +
                                          "\"; the disk may be full or the folder read-only.");
}

Result<std::shared_ptr<const Program>> compile_program(Engine& engine, const ProgramFile& file,
                                                       const ProgramOptions& options) {
  auto program = Program::compile(engine, file.bytes, options);
  if (!program)
    return std::unexpected(std::move(program).error().with_context("while reading the program " + file.name));
  return program;
}

}  // namespace driftwood::cli
