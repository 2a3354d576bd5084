#include "model_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace driftwood::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kRegistry = "registry.json";
constexpr std::size_t kLongestName = 100;

bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= kLongestName && name.front() != '-' && name.front() != '.' &&
         std::ranges::all_of(name, allowed);
}

/// A file's stem as a name: lower case, with '-' for what names may not have.
std::string name_from(const fs::path& file) {
  std::string name = file.stem().string().substr(0, kLongestName);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_name(std::string_view(&c, 1)) && c != '.' && c != '-') c = '-';
  }
  return is_name(name) ? name : "model";
}

bool has_size(const fs::path& path, std::uint64_t bytes) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == bytes && !error;
}

std::string quoted(const fs::path& path) { return "\"" + path.string() + "\""; }

Result<StoredModel> registry_entry(const nlohmann::json& entry) {
  StoredModel model;
  model.name = entry.at("name").get<std::string>();
  model.path = entry.at("path").get<std::string>();
  model.bytes = entry.at("bytes").get<std::uint64_t>();
  DW_TRY_ASSIGN(model.hash, Hash::from_hex(entry.at("sha256").get<std::string>()));
  model.present = has_size(model.path, model.bytes);
  return model;
}

auto named(std::string_view name) {
  return [name](const StoredModel& model) { return model.name == name; };
}

}  // namespace

StoreLock::~StoreLock() {
  if (fd_ >= 0) close(fd_);
}
StoreLock::StoreLock(StoreLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Result<StoreLock> ModelStore::lock() const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    return fail(ErrorCode::unavailable,
                "The model store " + quoted(folder_) + " could not be made: " + error.message() + ".");
  }
  const int fd = open((folder_ / ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  StoreLock lock(fd);
  if (fd < 0 || flock(fd, LOCK_EX) != 0) {
    return fail(ErrorCode::unavailable,
                "The model store " + quoted(folder_) + " cannot be written: " + std::strerror(errno) + ".");
  }
  return lock;
}

Result<std::vector<StoredModel>> ModelStore::read_registry() const {
  const fs::path path = folder_ / kRegistry;
  std::error_code error;
  std::vector<StoredModel> models;
  if (!fs::exists(path, error)) return models;
  std::ifstream file(path);
  try {
    const auto registry = nlohmann::json::parse(file);
    for (const auto& entry : registry.at("models")) {
      DW_TRY_ASSIGN(auto model, registry_entry(entry));
      models.push_back(std::move(model));
    }
  } catch (const nlohmann::json::exception& exception) {
    return fail(ErrorCode::corrupt, "The registry " + quoted(path) + " is not one: " + exception.what() +
                                        ". Delete it and add its models again.");
  }
  return models;
}

Result<void> ModelStore::write_registry(const std::vector<StoredModel>& models) const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const StoredModel& model : models) {
    list.push_back(
        {{"name", model.name}, {"path", model.path.string()}, {"sha256", model.hash.to_hex()}, {"bytes", model.bytes}});
  }
  const fs::path path = folder_ / kRegistry;
  const fs::path fresh = folder_ / ".registry.json.new";
  std::ofstream file(fresh, std::ios::trunc);
  file << nlohmann::ordered_json{{"models", list}}.dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
       << '\n';
  file.close();
  std::error_code error;
  if (file) fs::rename(fresh, path, error);
  if (!file || error) {
    fs::remove(fresh, error);
    return fail(ErrorCode::unavailable, "The registry " + quoted(path) +
                                            " could not be written; the disk may be full or the folder read-only. "
                                            "Nothing was changed.");
  }
  return {};
}

Result<std::vector<StoredModel>> ModelStore::list() const {
  DW_TRY_ASSIGN(auto models, read_registry());
  const CatalogueModel& known = default_model();
  if (has_size(path_of(known), known.bytes)) {
    models.push_back({known.name, path_of(known), known.bytes, known.hash, true, true});
  }
  std::ranges::sort(models, {}, &StoredModel::name);
  return models;
}

Result<ResolvedModel> ModelStore::resolve(std::string_view name_or_path) const {
  DW_TRY_ASSIGN(const auto models, list());
  const std::string given(name_or_path);
  if (const auto found = std::ranges::find_if(models, named(given)); found != models.end()) {
    if (found->present) return ResolvedModel{found->name, found->path};
    return fail(ErrorCode::not_found, "The model " + given + " was added as " + quoted(found->path) +
                                          ", which is not there any more or has changed its size. Add it again.");
  }
  if (find_catalogue_model(given) != nullptr) {
    return fail(ErrorCode::not_found,
                "The model " + given + " was not fetched yet; \"driftwood models fetch " + given + "\" does it.");
  }
  std::error_code error;
  if (fs::is_regular_file(given, error)) return ResolvedModel{name_from(given), fs::absolute(given, error)};
  if (fs::is_directory(given, error)) {
    return fail(ErrorCode::invalid_argument, "The model \"" + given + "\" is a folder, not a GGUF file.");
  }
  if (given.find('/') != std::string::npos || given.ends_with(".gguf")) {
    return fail(ErrorCode::not_found, "There is no model file \"" + given + "\".");
  }
  std::string names;
  for (const StoredModel& model : models) names += (names.empty() ? "" : ", ") + model.name;
  if (names.empty()) names = "none, but \"driftwood models fetch\" gets " + default_model().name;
  return fail(ErrorCode::not_found,
              "There is no model named \"" + given + "\", and no such file. Models here: " + names + ".");
}

Result<StoredModel> ModelStore::add(const fs::path& file, std::string name) {
  if (name.empty()) name = name_from(file);
  if (!is_name(name)) {
    return fail(ErrorCode::invalid_argument, "The name \"" + name +
                                                 "\" is not one to 100 letters, digits, '.', '_' or '-', of which '.' "
                                                 "and '-' don't come first.");
  }
  StoredModel model{name, {}, 0, {}, false, true};
  DW_TRY_ASSIGN(model.hash, hash_file(file));
  std::error_code error;
  model.path = fs::absolute(file, error).lexically_normal();
  model.bytes = fs::file_size(model.path, error);
  if (error) {
    return fail(ErrorCode::unavailable, "The file " + quoted(file) + " cannot be read: " + error.message() + ".");
  }
  DW_TRY_ASSIGN(const StoreLock hold, lock());
  DW_TRY_ASSIGN(auto models, read_registry());
  if (find_catalogue_model(name) != nullptr) {
    return fail(ErrorCode::invalid_argument, "The name " + name +
                                                 " is that of a model which Driftwood fetches; give "
                                                 "another one with --name.");
  }
  const auto found = std::ranges::find_if(models, named(name));
  if (found == models.end()) {
    models.push_back(model);
  } else if (found->path == model.path || !found->present) {
    *found = model;
  } else {
    return fail(ErrorCode::invalid_argument, "The name " + name + " already stands for " + quoted(found->path) +
                                                 "; remove it first, or give another name with --name.");
  }
  DW_TRY(write_registry(models));
  return model;
}

Result<StoredModel> ModelStore::remove(std::string_view name) {
  DW_TRY_ASSIGN(const StoreLock hold, lock());
  DW_TRY_ASSIGN(const auto all, list());
  const auto found = std::ranges::find_if(all, named(name));
  if (found == all.end()) {
    return fail(ErrorCode::not_found, "There is no model named \"" + std::string(name) + "\" in the store.");
  }
  if (found->fetched) {
    std::error_code error;
    fs::remove(found->path, error);
    if (error) {
      return fail(ErrorCode::unavailable,
                  "The file " + quoted(found->path) + " could not be deleted: " + error.message() + ".");
    }
    return *found;
  }
  DW_TRY_ASSIGN(auto models, read_registry());
  std::erase_if(models, named(name));
  DW_TRY(write_registry(models));
  return *found;
}

}  // namespace driftwood::cli
