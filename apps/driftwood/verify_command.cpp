// driftwood verify: holds a life that is killed after each message to one that goes on.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "actor_digest.hpp"
#include "actor_messages.hpp"
#include "command.hpp"
#include "core/hash.hpp"
#include "guests.hpp"
#include "temporary_folder.hpp"
#include "verify_process.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood verify before-lunch                     # a chat actor: two short answers\n"
    "  driftwood verify agent-1 --message step --repeat 5\n"
    "Two processes thaw the snapshot. One lives on through all messages. The other is killed after each, and thawed from\n"
    "what it had saved. After each message memory, globals, clock, Contexts and replies must be the same, byte for byte;\n"
    "otherwise the exit status is 1.";

constexpr const char* kGuarantee =
    "What the runtime gives, always: memory, globals, open models, virtual clock and generator come back as they were.\n"
    "What the guest must keep: no wall clock, no fresh entropy, and no files or answers that change between two lives.\n"
    "An actor made with --deterministic (freeze, chat) has a virtual clock and seeded random numbers, and keeps it.\n";

constexpr int kDifferent = 1;

struct Options {
  std::string snapshot;
  std::uint32_t repeat = 1;
  ThawOptions thaw;
  MessageOptions messages;
};

/// Something compared after one message.
struct Comparison {
  std::size_t message = 0;  ///< from 1 on
  std::string what;
  std::string alive;
  std::string killed;
  bool equal() const { return alive == killed; }
};

/// Short answers, for a chat actor that is asked nothing in particular.
std::vector<std::string> chat_messages() {
  const chat::Sampling sampling{.seed = 1, .max_tokens = 12};
  return {chat::encode(chat::kSampling, sampling), chat::encode(chat::kSay, "Go on, please."),
          chat::encode(chat::kSay, "And then?")};
}

Result<std::vector<std::string>> messages_for(const Options& options, const Manifest& manifest) {
  std::vector<std::string> once;
  DW_TRY_ASSIGN(auto given, read_messages(options.messages));
  for (ActorMessage& message : given) once.push_back(std::move(message.bytes));
  if (once.empty()) {
    if (chat_guest().empty() || hash_bytes(chat_guest()) != manifest.program.hash) {
      return fail(ErrorCode::invalid_argument,
                  "No message was given (--message, --say), and the snapshot is not of the built-in chat actor.");
    }
    once = chat_messages();
  }
  std::vector<std::string> all;
  for (std::uint32_t i = 0; i < options.repeat; ++i) all.insert(all.end(), once.begin(), once.end());
  return all;
}

void compare_step(std::size_t message, const Json& alive, const Json& killed, std::vector<Comparison>& list) {
  const auto add = [&](const std::string& what, const Json& one, const Json& other) {
    const auto text = [](const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
    list.push_back({message, what, text(one), text(other)});
  };
  add("memory", alive.at("memory"), killed.at("memory"));
  add("globals", alive.at("globals"), killed.at("globals"));
  add("clock", alive.at("clock"), killed.at("clock"));
  const std::size_t contexts = std::max(alive.at("contexts").size(), killed.at("contexts").size());
  for (std::size_t i = 0; i < contexts; ++i) {
    const auto in = [i](const Json& step) {
      const Json& all = step.at("contexts");
      return i < all.size() ? all[i].at("sha256") : Json("none");
    };
    const Json& list_of = alive.at("contexts").size() > i ? alive.at("contexts") : killed.at("contexts");
    add(fmt::format("context {} ({} tokens)", i + 1, list_of[i].at("n_tokens").get<std::uint32_t>()), in(alive),
        in(killed));
  }
  add("reply", alive.at("reply"), killed.at("reply"));
}

/// Where the memories differ first, as {"address", "page_bytes", "belongs_to"}; null where they do not.
Result<Json> first_difference(const Json& alive, const Json& killed) {
  DW_TRY_ASSIGN(const auto one, read_pages(alive.at("pages").get<std::string>()));
  DW_TRY_ASSIGN(const auto other, read_pages(killed.at("pages").get<std::string>()));
  const auto [at, ignored] = std::mismatch(one.begin(), one.end(), other.begin(), other.end());
  if (at == one.end() && one.size() == other.size()) return Json();
  const std::uint64_t address = static_cast<std::uint64_t>(at - one.begin()) * kDigestPage;
  return Json{
      {"address", address}, {"page_bytes", kDigestPage}, {"belongs_to", owner_of(address, alive.at("contexts"))}};
}

struct Outcome {
  std::vector<Comparison> comparisons;
  Json difference;  ///< of the first message after which memory differs
  std::size_t message = 0;
  std::string numerics_difference;
  bool equal() const { return std::ranges::all_of(comparisons, &Comparison::equal); }
};

Result<Outcome> compare_lives(const std::filesystem::path& store, const SnapshotId& id,
                              const std::vector<std::string>& messages, const ThawOptions& thaw) {
  DW_TRY_ASSIGN(const TemporaryFolder folder, TemporaryFolder::create());
  Outcome outcome;
  DW_TRY_ASSIGN(const Json alive, run_verify_process({.store = store,
                                                      .snapshot = id,
                                                      .messages = messages,
                                                      .thaw = thaw,
                                                      .folder = folder.path() / "alive",
                                                      .save_to = {}}));
  outcome.numerics_difference = alive.at("numerics_difference").get<std::string>();
  const auto saves = folder.path() / "store";
  VerifyPlan next{.store = store, .snapshot = id, .messages = {}, .thaw = thaw, .folder = {}, .save_to = saves};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    next.messages = {messages[i]};
    next.folder = folder.path() / ("killed-" + std::to_string(i));
    DW_TRY_ASSIGN(const Json killed, run_verify_process(next));
    next.store = saves;
    DW_TRY_ASSIGN(next.snapshot, Hash::from_hex(killed.at("saved").get<std::string>()));
    const Json& one = alive.at("steps").at(i);
    const Json& other = killed.at("steps").at(0);
    compare_step(i + 1, one, other, outcome.comparisons);
    if (!outcome.difference.is_null()) continue;
    DW_TRY_ASSIGN(outcome.difference, first_difference(one, other));
    outcome.message = i + 1;
  }
  return outcome;
}

void print_outcome(const Outcome& outcome, std::size_t messages) {
  std::vector<std::vector<std::string>> rows = {{"message", "compared", "lived on", "killed and thawed", ""}};
  const auto shortened = [](const std::string& text) { return text.size() == 64 ? text.substr(0, 16) : text; };
  for (const Comparison& row : outcome.comparisons) {
    rows.push_back({std::to_string(row.message), row.what, shortened(row.alive), shortened(row.killed),
                    row.equal() ? "equal" : "DIFFERENT"});
  }
  print_table(rows);
  fmt::print("\n{}", kGuarantee);
  if (outcome.equal()) {
    fmt::print("\nEqual, byte for byte, after each of {} messages.\n", messages);
    return;
  }
  std::string where;
  if (!outcome.difference.is_null()) {
    where = fmt::format(" After message {} the memories differ first in the page at {:#x}, which belongs to {}.",
                        outcome.message, outcome.difference["address"].get<std::uint64_t>(),
                        outcome.difference["belongs_to"].get<std::string>());
  }
  print_note("The two lives differ." + where);
}

Json outcome_json(const SnapshotId& id, const Outcome& outcome) {
  Json compared = Json::array();
  for (const Comparison& row : outcome.comparisons) {
    compared.push_back({{"message", row.message},
                        {"what", row.what},
                        {"lived_on", row.alive},
                        {"killed", row.killed},
                        {"equal", row.equal()}});
  }
  Json difference = outcome.difference;
  if (!difference.is_null()) difference["message"] = outcome.message;
  return {{"snapshot", id.to_hex()},
          {"equal", outcome.equal()},
          {"compared", std::move(compared)},
          {"first_difference", std::move(difference)},
          {"numerics_difference", outcome.numerics_difference}};
}

Result<int> verify(const Options& options, const Common& common) {
  DW_TRY_ASSIGN(const auto folder, Store::default_folder());
  DW_TRY_ASSIGN(const auto store, Store::open({.folder = folder}));
  DW_TRY_ASSIGN(const SnapshotId id, store->resolve(options.snapshot));
  DW_TRY_ASSIGN(const Snapshot snapshot, store->load(id));
  DW_TRY_ASSIGN(const auto messages, messages_for(options, snapshot.manifest));
  DW_TRY_ASSIGN(const Outcome outcome, compare_lives(folder, id, messages, options.thaw));
  if (common.json) {
    print_json(outcome_json(id, outcome));
  } else {
    note_numerics(outcome.numerics_difference);
    print_outcome(outcome, messages.size());
  }
  return outcome.equal() ? 0 : kDifferent;
}

}  // namespace

void add_verify(const Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(commands, commands.app, "verify",
                                  "Hold an actor that is killed and thawed to one that lives on", kExamples);
  command->add_option("SNAPSHOT", options->snapshot, "An id, the beginning of one, or a label")->required();
  command->add_option("--repeat", options->repeat, "Send all messages this many times over")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  options->messages.add_to(command);
  options->thaw.add_to(command);
  add_json_option(command, commands.common);
  command->callback([options, &common = commands.common, &action = commands.action] {
    action = [options, &common] { return verify(*options, common); };
  });
}

}  // namespace driftwood::cli
