// Modules as files: read, compiled, and kept for the snapshots that name them by their hash. One thread.
//
// A snapshot holds no code. So whoever saves one keeps its program in a folder beside the store, as HASH.wasm, where a
// thaw finds it, also after the built-in actor has changed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "snapshot/manifest.hpp"
#include "snapshot/store.hpp"
#include "wasm/program.hpp"

namespace driftwood::cli {

/// A module as it was given.
struct ProgramFile {
  std::string name;  ///< for people: "chat.wasm"
  std::vector<std::byte> bytes;
};

/// not_found: there is no such file; invalid_argument: it is larger than 1 GiB, or no file.
Result<ProgramFile> read_program(const std::filesystem::path& path);
/// The chat actor: that of `path`, or where it is empty the built-in one. unsupported: this build has none.
Result<ProgramFile> chat_program(const std::string& path);
/// The program of a snapshot: `path` where it is not empty, else what was kept if that is whole, else the built-in
/// actor. not_found: it is nowhere; corrupt: what was kept is damaged. The hash of what `path` names is left for the
/// thaw to judge.
Result<ProgramFile> find_program(const Manifest::ProgramReference& program, const std::string& path);
/// Keeps a program where find_program() looks, in place of a damaged one; returns when it is on the disk, so that no
/// snapshot of it gets there first. unavailable: the system refused, and nothing is left of the attempt.
Result<void> keep_program(const ProgramFile& program);
/// Removes what keep_program() was killed over more than a day ago.
Result<Store::Collected> collect_programs();

/// Program::compile, with the file's name in the error.
Result<std::shared_ptr<const Program>> compile_program(Engine& engine, const ProgramFile& file,
                                                       const ProgramOptions& options = {});

}  // namespace driftwood::cli
