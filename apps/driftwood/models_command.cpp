// driftwood models: which models there are, what they are, and where they come from.

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "command.hpp"
#include "console.hpp"
#include "core/bytes.hpp"
#include "core/cache_folder.hpp"
#include "model/model.hpp"
#include "model_access.hpp"
#include "model_store.hpp"
#include "paths.hpp"

namespace driftwood::cli {
namespace {

constexpr const char* kExamples =
    "  driftwood models                                  # list\n"
    "  driftwood models fetch                            # the default model, smollm2\n"
    "  driftwood models add ./my.gguf --name mine        # a file of yours, which stays where it is\n"
    "  driftwood models show mine --json\n"
    "  driftwood models remove mine\n"
    "Fetched models lie in $DRIFTWOOD_MODELS, or ${XDG_DATA_HOME:-~/.local/share}/driftwood/models.\n"
    "What the CPU's kernels made of models in use is listed with its folder; it may be removed at any time.";

struct ModelsOptions {
  std::string model;
  std::string file;
  std::string name;
};

Result<ModelStore> open_store() {
  DW_TRY_ASSIGN(auto folder, model_store_path());
  return ModelStore(std::move(folder));
}

Json model_json(const StoredModel& model) {
  return {{"name", model.name},       {"path", model.path.string()},
          {"bytes", model.bytes},     {"sha256", model.hash.to_hex()},
          {"fetched", model.fetched}, {"present", model.present}};
}

/// The weights as the CPU's kernels read them, of all models that were used.
struct PackedWeights {
  std::filesystem::path folder;
  std::size_t files = 0;
  std::uint64_t bytes = 0;
};

std::optional<PackedWeights> find_packed_weights() {
  const auto folder = cache_folder("packed");
  if (!folder) return std::nullopt;
  PackedWeights packed{.folder = *folder};
  std::error_code error;
  for (std::filesystem::directory_iterator file(*folder, error), end; !error && file != end; file.increment(error)) {
    const std::uint64_t bytes = file->file_size(error);
    if (error) continue;
    ++packed.files;
    packed.bytes += bytes;
  }
  return packed;
}

Result<int> list(const Common& common) {
  DW_TRY_ASSIGN(const ModelStore store, open_store());
  DW_TRY_ASSIGN(const auto models, store.list());
  const auto packed = find_packed_weights();
  if (common.json) {
    Json json = Json::array();
    for (const StoredModel& model : models) json.push_back(model_json(model));
    Json listed{{"store", store.folder().string()}, {"models", std::move(json)}};
    if (packed) {
      listed["packed"] = {{"folder", packed->folder.string()}, {"files", packed->files}, {"bytes", packed->bytes}};
    }
    print_json(listed);
    return 0;
  }
  if (models.empty()) {
    fmt::print("There are no models yet; \"driftwood models fetch\" gets {} ({}).\n", default_model().name,
               format_bytes(default_model().bytes));
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"name", "size", "sha256", "file"}};
  for (const StoredModel& model : models) {
    rows.push_back({model.name, format_bytes(model.bytes), model.hash.to_hex().substr(0, 12),
                    printable(model.path.string()) + (model.present ? "" : " (missing or changed)")});
  }
  print_table(rows);
  if (packed && packed->files != 0) {
    fmt::print("Packed for this CPU: {} in {} ({} {})\n", format_bytes(packed->bytes),
               printable(packed->folder.string()), packed->files, packed->files == 1 ? "file" : "files");
  }
  return 0;
}

Json summary_json(const ResolvedModel& model, const ModelSummary& summary, const Hash& hash) {
  Json json{{"name", model.name},          {"path", model.path.string()},       {"architecture", summary.architecture},
            {"title", summary.title},      {"quantization", summary.file_type}, {"parameters", summary.parameters},
            {"bytes", summary.file_bytes}, {"sha256", hash.to_hex()},           {"supported", summary.supported}};
  if (summary.supported) {
    const Hyperparameters& numbers = summary.hyperparameters;
    json["context"] = numbers.n_ctx_train;
    json["vocabulary"] = numbers.n_vocab;
    json["layers"] = numbers.n_layer;
    json["embedding"] = numbers.n_embd;
    json["heads"] = numbers.n_head;
    json["kv_heads"] = numbers.n_head_kv;
  }
  return json;
}

std::string count_text(std::uint64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.2f} billion", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f} million", value / 1e6);
  return std::to_string(count);
}

void print_summary(const ResolvedModel& model, const ModelSummary& summary, const Hash& hash) {
  const auto line = [](std::string_view label, const std::string& value) {
    fmt::print("{:<14}{}\n", label, printable(value));
  };
  line("name", model.name);
  line("file", model.path.string());
  if (!summary.title.empty()) line("title", summary.title);
  line("architecture", summary.architecture + (summary.supported ? "" : " (not supported)"));
  line("parameters", count_text(summary.parameters));
  line("quantization", summary.file_type);
  line("size", format_bytes(summary.file_bytes));
  if (summary.supported) {
    const Hyperparameters& numbers = summary.hyperparameters;
    line("context", fmt::format("{} tokens", numbers.n_ctx_train));
    line("shape", fmt::format("{} layers of {}, {} heads, {} of them for keys and values", numbers.n_layer,
                              numbers.n_embd, numbers.n_head, numbers.n_head_kv));
    line("vocabulary", fmt::format("{} tokens", numbers.n_vocab));
  }
  line("sha256", hash.to_hex());
}

Result<int> show(const std::string& name_or_path, const Common& common) {
  DW_TRY_ASSIGN(const ModelStore store, open_store());
  DW_TRY_ASSIGN(const ResolvedModel model, store.resolve(name_or_path));
  DW_TRY_ASSIGN(const ModelSummary summary, Model::summarize(model.path));
  DW_TRY_ASSIGN(const Hash hash, hash_file(model.path));
  if (common.json) {
    print_json(summary_json(model, summary, hash));
  } else {
    print_summary(model, summary, hash);
  }
  return 0;
}

void report_change(const StoredModel& model, std::string_view what, const Common& common) {
  if (common.json) {
    print_json(model_json(model));
  } else {
    fmt::print("{} {}: {} ({}, sha256 {})\n", what, model.name, printable(model.path.string()),
               format_bytes(model.bytes), model.hash.to_hex());
  }
}

Result<int> add(const ModelsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(ModelStore store, open_store());
  DW_TRY(Model::summarize(options.file));  // what is not a GGUF file gets no name
  DW_TRY_ASSIGN(const StoredModel model, store.add(options.file, options.name));
  report_change(model, "Added", common);
  return 0;
}

Result<int> remove(const ModelsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(ModelStore store, open_store());
  DW_TRY_ASSIGN(const StoredModel model, store.remove(options.model));
  report_change(model, model.fetched ? "Deleted" : "Forgot", common);
  return 0;
}

Result<int> fetch(const ModelsOptions& options, const Common& common) {
  DW_TRY_ASSIGN(const ModelStore store, open_store());
  const std::string name = options.model.empty() ? default_model().name : options.model;
  const CatalogueModel* known = find_catalogue_model(name);
  if (known == nullptr) {
    return fail(ErrorCode::not_found, "There is no model \"" + name + "\" to be fetched; there is " +
                                          default_model().name +
                                          ". A GGUF file of your own is added with \"driftwood models add\".");
  }
  DW_TRY_ASSIGN(const auto path, fetch_with_progress(store, *known, !common.quiet));
  report_change({known->name, path, known->bytes, known->hash, true, true}, "Fetched", common);
  return 0;
}

using Work = Result<int> (*)(const ModelsOptions&, const Common&);

}  // namespace

void add_models(const Commands& commands) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* models =
      add_command(commands, commands.app, "models", "List, show, add, fetch and remove models", kExamples);
  add_json_option(models, commands.common);
  models->require_subcommand(0, 1);
  const auto finish = [&](CLI::App* command, Work work) {
    command->callback([options, work, &common = commands.common, &action = commands.action] {
      action = [options, work, &common] { return work(*options, common); };
    });
  };
  const auto subcommand = [&](const char* name, const char* description, Work work) {
    CLI::App* command = add_command(commands, *models, name, description);
    add_json_option(command, commands.common);
    finish(command, work);
    return command;
  };
  // CLI11 runs the parent's callback after the subcommand's, so it leaves a chosen one alone.
  models->callback([&action = commands.action, &common = commands.common] {
    if (!action) action = [&common] { return list(common); };
  });
  subcommand("list", "List the models (as without a subcommand)",
             [](const ModelsOptions&, const Common& common) { return list(common); });
  subcommand("show", "What a model is",
             [](const ModelsOptions& given, const Common& common) { return show(given.model, common); })
      ->add_option("MODEL", options->model, "A name or a path")
      ->required();
  CLI::App* add_file = subcommand("add", "Give a GGUF file a name; the file stays where it is", add);
  add_file->add_option("FILE", options->file, "The GGUF file")->required();
  add_file->add_option("--name", options->name, "Its name (default: the file's, in lower case)");
  subcommand("fetch", "Get a model that Driftwood knows, checked against its hash", fetch)
      ->add_option("NAME", options->model, "Its name (default: smollm2)");
  subcommand("remove", "Forget an added model, or delete a fetched one", remove)
      ->add_option("NAME", options->model, "Its name")
      ->required();
}

}  // namespace driftwood::cli
