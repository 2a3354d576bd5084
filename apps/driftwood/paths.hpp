// Where the binary keeps things, by the XDG base directory rules. Any thread that leaves the environment alone.
#pragma once

#include <filesystem>

#include "core/error.hpp"

namespace driftwood::cli {

/// $DRIFTWOOD_MODELS, else $XDG_DATA_HOME/driftwood/models, else ~/.local/share/driftwood/models.
Result<std::filesystem::path> model_store_path();
/// $XDG_DATA_HOME/driftwood/programs, else ~/.local/share/driftwood/programs: the modules of saved actors.
Result<std::filesystem::path> program_store_path();
/// $XDG_STATE_HOME/driftwood, else ~/.local/state/driftwood.
Result<std::filesystem::path> state_path();
/// The file that this process was started from.
Result<std::filesystem::path> executable_path();

}  // namespace driftwood::cli
