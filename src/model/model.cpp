#include "model/model.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "core/handle.hpp"
#include "model/family.hpp"
#include "model/file_type.hpp"
#include "model/gguf.hpp"
#include "model/mapped_file.hpp"
#include "model/model_hash.hpp"
#include "model/weights.hpp"

namespace driftwood {
namespace {

using TensorContext = Handle<ggml_context, ggml_free>;
using TensorMap = std::map<std::string, ggml_tensor*, std::less<>>;

/// What a file says of itself, checked; the views die with the file.
struct Description {
  std::unique_ptr<MappedFile> file;
  Gguf gguf;
};

Result<Description> describe(const std::filesystem::path& path) {
  DW_TRY_ASSIGN(auto file, MappedFile::open(path));
  DW_TRY_ASSIGN(auto gguf, Gguf::parse(file->bytes()));
  return Description{std::move(file), std::move(gguf)};
}

Error in_file(Error error, const std::filesystem::path& path) {
  return std::move(error).with_context(fmt::format("while reading the model {}", path.string()));
}

/// How far a file is that is hashed first, unless its hash is known, and then copied to a device, where that is so.
class LoadingProgress {
 public:
  LoadingProgress(const std::function<void(double)>& tell, bool copied) : tell_(tell), hashed_(copied ? 0.5 : 1.0) {}

  std::function<void(double)> of_hash() {
    if (!tell_) return {};
    return [this](double fraction) { tell_(done_ = hashed_ * fraction); };
  }
  std::function<void(double)> of_upload() const {
    if (!tell_) return {};
    return [this](double fraction) { tell_(done_ + (1.0 - done_) * fraction); };
  }

 private:
  const std::function<void(double)>& tell_;
  double hashed_;
  double done_ = 0;  ///< by the hash
};

/// One ggml tensor for each of the file's, placed where the device sees its bytes.
Result<TensorContext> place_tensors(const Gguf& gguf, const Import& import, TensorMap& map) {
  TensorContext context(ggml_init(
      {.mem_size = ggml_tensor_overhead() * (gguf.tensors().size() + 1), .mem_buffer = nullptr, .no_alloc = true}));
  if (context == nullptr) return fail(ErrorCode::out_of_memory, "There is no memory for the list of weights.");
  for (const GgufTensor& tensor : gguf.tensors()) {
    ggml_tensor* placed = ggml_new_tensor(context.get(), tensor.type, GGML_MAX_DIMS, tensor.shape.data());
    const std::string name(tensor.name);
    ggml_set_name(placed, name.c_str());
    const ggml_status status = ggml_backend_tensor_alloc(import.buffer(), placed, import.device_address(tensor.offset));
    if (status != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::out_of_memory, fmt::format("The device cannot hold the weight {}.", name));
    }
    map.emplace(name, placed);
  }
  return context;
}

}  // namespace

// The order matters: tensors lie in the import, which lies over the file.
struct Model::State {
  std::string name;
  std::filesystem::path path;
  std::string architecture;
  Hyperparameters hyperparameters;
  Device* device = nullptr;
  std::unique_ptr<MappedFile> file;
  Hash hash;
  std::unique_ptr<Tokenizer> tokenizer;
  Import import;
  TensorContext context;
  TensorMap weights;
};

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::open(const std::filesystem::path& path, Device& device,
                                                 const ModelOptions& options) {
  const auto load = [&]() -> Result<std::unique_ptr<State>> {
    auto state = std::make_unique<State>();
    DW_TRY_ASSIGN(auto description, describe(path));
    const Gguf& gguf = description.gguf;
    DW_TRY_ASSIGN(const Family* family, family_of(gguf));
    state->architecture = family->architecture;
    DW_TRY_ASSIGN(state->hyperparameters, read_hyperparameters(gguf, *family));
    DW_TRY(check_weights(gguf, *family, state->hyperparameters));
    description.file->read_ahead();
    DW_TRY_ASSIGN(state->tokenizer, Tokenizer::load(gguf));
    if (state->tokenizer->n_vocab() != state->hyperparameters.n_vocab) {
      return fail(ErrorCode::corrupt, fmt::format("The tokenizer has {} tokens and the weights have {}.",
                                                  state->tokenizer->n_vocab(), state->hyperparameters.n_vocab));
    }
    state->name = options.name.empty() ? path.stem().string() : options.name;
    state->path = path;
    state->device = &device;
    state->file = std::move(description.file);
    LoadingProgress progress(options.progress, device.info().capabilities.weights_sharing == Sharing::copied);
    state->hash = model_hash(path, *state->file, progress.of_hash());
    const auto bytes = state->file->bytes();
    DW_TRY_ASSIGN(state->import, device.import_read_only(bytes.data(), bytes.size(), Require::any,
                                                         {.fd = state->file->fd(), .offset = 0}, progress.of_upload()));
    DW_TRY_ASSIGN(state->context, place_tensors(gguf, state->import, state->weights));
    if (state->hyperparameters.tied_output) {
      state->weights.emplace("output.weight", state->weights.at("token_embd.weight"));
    }
    return state;
  };
  auto state = load();
  if (!state) return std::unexpected(in_file(std::move(state).error(), path));
  if (options.progress) options.progress(1.0);
  return std::shared_ptr<const Model>(new Model(*std::move(state)));
}

Result<ModelSummary> Model::summarize(const std::filesystem::path& path) {
  auto description = describe(path);
  if (!description) return std::unexpected(in_file(std::move(description).error(), path));
  const Gguf& gguf = description->gguf;

  ModelSummary summary;
  const auto text = [&](std::string_view key) {
    const GgufValue* value = gguf.find(key);
    return value == nullptr ? std::string() : std::string(value->as_string().value_or(""));
  };
  summary.architecture = text("general.architecture");
  summary.title = text("general.name");
  summary.file_type = file_type_name(gguf);
  summary.file_bytes = description->file->bytes().size();
  for (const GgufTensor& tensor : gguf.tensors()) {
    summary.parameters +=
        static_cast<std::uint64_t>(tensor.shape[0] * tensor.shape[1] * tensor.shape[2] * tensor.shape[3]);
  }
  const auto hyperparameters = [&]() -> Result<Hyperparameters> {
    DW_TRY_ASSIGN(const Family* family, family_of(gguf));
    DW_TRY_ASSIGN(auto read, read_hyperparameters(gguf, *family));
    DW_TRY(check_weights(gguf, *family, read));
    return read;
  }();
  summary.supported = hyperparameters.has_value();
  if (hyperparameters) {
    summary.hyperparameters = *hyperparameters;
  } else {
    summary.problem = hyperparameters.error().message;
  }
  return summary;
}

const std::string& Model::name() const noexcept { return state_->name; }
const std::filesystem::path& Model::path() const noexcept { return state_->path; }
std::uint64_t Model::file_bytes() const noexcept { return state_->file->bytes().size(); }
const Hash& Model::hash() const noexcept { return state_->hash; }
const std::string& Model::architecture() const noexcept { return state_->architecture; }
const Hyperparameters& Model::hyperparameters() const noexcept { return state_->hyperparameters; }
const Tokenizer& Model::tokenizer() const noexcept { return *state_->tokenizer; }
Device& Model::device() const noexcept { return *state_->device; }
Sharing Model::sharing() const noexcept { return state_->import.sharing(); }

ggml_tensor* Model::weight(std::string_view tensor_name) const noexcept {
  const auto found = state_->weights.find(tensor_name);
  return found == state_->weights.end() ? nullptr : found->second;
}

ggml_tensor* Model::layer_weight(std::uint32_t layer, std::string_view suffix) const noexcept {
  return weight(fmt::format("blk.{}.{}", layer, suffix));
}

}  // namespace driftwood
