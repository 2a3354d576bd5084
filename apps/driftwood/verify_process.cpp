#include "verify_process.hpp"

#include <signal.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "actor_digest.hpp"
#include "command.hpp"
#include "core/hash.hpp"
#include "paths.hpp"
#include "process.hpp"

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kWorker = "verify-worker";
constexpr int kKilled = 128 + SIGKILL;

Result<void> write_json(const fs::path& path, const Json& json) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump();
  file.close();
  if (file) return {};
  return fail(ErrorCode::unavailable, "The file \"" + path.string() + "\" cannot be written; the disk may be full.");
}

Result<std::string> read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text = (std::ostringstream() << file.rdbuf()).str();
  if (file) return text;
  return fail(ErrorCode::unavailable, "The file \"" + path.string() + "\" cannot be read.");
}

/// Every option that a thaw has; read_plan takes them back.
Json plan_json(const VerifyPlan& plan) {
  const ThawOptions& thaw = plan.thaw;
  return {{"store", plan.store.string()},
          {"snapshot", plan.snapshot.to_hex()},
          {"messages", plan.messages.size()},
          {"models", thaw.models},
          {"program", thaw.program},
          {"directories", thaw.directories},
          {"offline", thaw.offline},
          {"device", thaw.runtime.device},
          {"device_worker", thaw.runtime.device_worker},
          {"threads", thaw.runtime.threads},
          {"strict", thaw.runtime.strict},
          {"priority", thaw.runtime.priority},
          {"max_memory", thaw.runtime.max_memory},
          {"save_to", plan.save_to.string()}};
}

fs::path message_path(const fs::path& folder, std::size_t number) {
  return folder / ("message-" + std::to_string(number));
}

Result<VerifyPlan> read_plan(const fs::path& folder) {
  VerifyPlan plan;
  plan.folder = folder;
  DW_TRY_ASSIGN(const std::string text, read_text(folder / "plan.json"));
  std::size_t messages = 0;
  std::string snapshot;
  try {
    const Json json = Json::parse(text);
    plan.store = json.at("store").get<std::string>();
    snapshot = json.at("snapshot").get<std::string>();
    messages = json.at("messages").get<std::size_t>();
    plan.thaw.models = json.at("models").get<std::vector<std::string>>();
    plan.thaw.program = json.at("program").get<std::string>();
    plan.thaw.directories = json.at("directories").get<std::vector<std::string>>();
    plan.thaw.offline = json.at("offline").get<bool>();
    plan.thaw.runtime.device = json.at("device").get<std::string>();
    plan.thaw.runtime.device_worker = json.at("device_worker").get<std::string>();
    plan.thaw.runtime.threads = json.at("threads").get<int>();
    plan.thaw.runtime.strict = json.at("strict").get<bool>();
    plan.thaw.runtime.priority = json.at("priority").get<int>();
    plan.thaw.runtime.max_memory = json.at("max_memory").get<std::string>();
    plan.save_to = json.at("save_to").get<std::string>();
  } catch (const nlohmann::json::exception& exception) {
    return fail(ErrorCode::invalid_argument, std::string("The plan is none: ") + exception.what());
  }
  DW_TRY_ASSIGN(plan.snapshot, Hash::from_hex(snapshot));
  for (std::size_t i = 0; i < messages; ++i) {
    DW_TRY_ASSIGN(auto message, read_text(message_path(folder, i)));
    plan.messages.push_back(std::move(message));
  }
  return plan;
}

Result<std::vector<KnownModel>> models_of(const Manifest& manifest, const SnapshotHost& host) {
  std::vector<KnownModel> models;
  for (const auto& reference : manifest.models) {
    DW_TRY_ASSIGN(const auto forward, host.runtime.models->open(reference.name));
    models.push_back({reference.name, forward->model().hash(), forward->model().hyperparameters()});
  }
  return models;
}

Result<Json> work(const VerifyPlan& plan) {
  DW_TRY_ASSIGN(const auto store, Store::open({.folder = plan.store}));
  DW_TRY_ASSIGN(const Snapshot snapshot, store->load(plan.snapshot));
  DW_TRY_ASSIGN(const SnapshotHost host, SnapshotHost::open(snapshot.manifest, plan.thaw, false));
  DW_TRY_ASSIGN(const auto thawed, Actor::thaw(host.program, snapshot, host.options));
  DW_TRY_ASSIGN(const auto models, models_of(snapshot.manifest, host));
  Actor& actor = *thawed.actor;
  Json steps = Json::array();
  for (std::size_t i = 0; i < plan.messages.size(); ++i) {
    Hasher heard;
    DW_TRY_ASSIGN(const std::string reply, actor.send(plan.messages[i], [&](std::string_view piece) {
      heard.update(std::as_bytes(std::span(piece)));
    }));
    heard.update(std::as_bytes(std::span(reply)));
    Json step = digest_of(actor, models);
    step["reply"] = heard.finish().to_hex();
    const fs::path pages = plan.folder / ("pages-" + std::to_string(i));
    DW_TRY(write_pages(pages, page_digests({actor.memory().data(), actor.memory().size()})));
    step["pages"] = pages.string();
    steps.push_back(std::move(step));
  }
  Json report{{"steps", std::move(steps)}, {"saved", ""}, {"numerics_difference", thawed.numerics_difference}};
  if (!plan.save_to.empty()) {
    DW_TRY_ASSIGN(const auto saves, Store::open({.folder = plan.save_to}));
    DW_TRY_ASSIGN(const Snapshot frozen, actor.freeze());
    DW_TRY_ASSIGN(const SnapshotId id, saves->save(frozen));
    report["saved"] = id.to_hex();
    DW_TRY(write_json(plan.folder / "report.json", report));
    raise(SIGKILL);
  }
  return report;
}

Result<int> run_worker(const fs::path& folder) {
  DW_TRY_ASSIGN(const VerifyPlan plan, read_plan(folder));
  const auto report = work(plan);
  DW_TRY(write_json(folder / "report.json", report ? *report
                                                   : Json{{"error", static_cast<int>(report.error().code)},
                                                          {"message", report.error().to_string()}}));
  return 0;
}

}  // namespace

Result<Json> run_verify_process(const VerifyPlan& plan) {
  std::error_code error;
  fs::create_directories(plan.folder, error);
  DW_TRY(write_json(plan.folder / "plan.json", plan_json(plan)));
  for (std::size_t i = 0; i < plan.messages.size(); ++i) {
    std::ofstream file(message_path(plan.folder, i), std::ios::binary);
    file << plan.messages[i];
  }
  DW_TRY_ASSIGN(const auto program, executable_path());
  DW_TRY_ASSIGN(const ProcessResult ended,
                run_process({.arguments = {program.string(), kWorker, plan.folder.string()}}));
  if (ended.status != (plan.save_to.empty() ? 0 : kKilled) && ended.status != 0) {
    return fail(ErrorCode::internal,
                "A process of the check ended with the status " + std::to_string(ended.status) + ": " + ended.output);
  }
  DW_TRY_ASSIGN(const std::string text, read_text(plan.folder / "report.json"));
  Json report = Json::parse(text, nullptr, false);
  if (!report.is_object()) return fail(ErrorCode::internal, "A process of the check left no report.");
  if (report.contains("error")) {
    return fail(static_cast<ErrorCode>(report["error"].get<int>()), report["message"].get<std::string>());
  }
  return report;
}

void add_verify_worker(const Commands& commands) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = add_command(commands, commands.app, kWorker, "A process of verify");
  command->group("");
  command->add_option("FOLDER", *folder)->required();
  command->callback([folder, &action = commands.action] { action = [folder] { return run_worker(*folder); }; });
}

}  // namespace driftwood::cli
