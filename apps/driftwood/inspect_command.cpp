// driftwood inspect: what is in a snapshot, as text, as JSON, and as a drawing.

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "command.hpp"
#include "console.hpp"
#include "inspection.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood inspect before-lunch                    # a snapshot of the store\n"
    "  driftwood inspect talk.dwsnap --json              # an exported file, every hash of which is checked\n"
    "  driftwood inspect before-lunch --svg map.svg      # a drawing of its memory\n"
    "To tell what was said, the actor is thawed and asked, in its sandbox; its snapshot stays as it is.";

struct Options {
  std::string snapshot;
  std::string svg;
  ThawOptions thaw;
};

Result<int> inspect(const Options& options, const Common& common) {
  DW_TRY_ASSIGN(const Inspection found, Inspection::make(options.snapshot, options.thaw));
  if (!options.svg.empty()) {
    std::ofstream file(options.svg, std::ios::binary | std::ios::trunc);
    file << found.drawing();
    file.close();
    if (!file) return fail(ErrorCode::unavailable, "The file \"" + options.svg + "\" cannot be written.");
  }
  if (common.json) {
    print_json(found.to_json());
  } else {
    fmt::print("{}", found.text());
    for (const std::string& note : found.notes) print_note(note);
  }
  return 0;
}

}  // namespace

void add_inspect(const Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      add_command(commands, commands.app, "inspect", "Show what is in a saved actor, and draw its memory", kExamples);
  command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, a label, or an exported file")
      ->required();
  command->add_option("--svg", options->svg, "Draw the memory map into this file")->type_name("FILE");
  options->thaw.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return inspect(*options, common); };
  });
}

}  // namespace driftwood::cli
