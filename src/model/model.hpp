// Weights mapped from a GGUF file, tokenizer and architecture: shared by all actors.
//
// Immutable once open; may be used from any thread. The Device must outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "device/device.hpp"
#include "model/hyperparameters.hpp"
#include "model/tokenizer.hpp"

struct ggml_tensor;

namespace driftwood {

struct ModelOptions {
  std::string name;  ///< as guests and people know it; the file's stem when empty
  /// Called now and then while loading with the fraction done, 0 to 1, on the thread that loads.
  std::function<void(double)> progress;
};

/// What a GGUF file says of itself, without loading its weights.
struct ModelSummary {
  std::string architecture;  ///< "llama"
  std::string title;         ///< general.name, empty where missing
  std::string file_type;     ///< "Q4_1"
  std::uint64_t parameters = 0;
  std::uint64_t file_bytes = 0;
  bool supported = false;           ///< Model::open would take it, as far as metadata and tensors tell
  std::string problem;              ///< why not, as a sentence; empty when supported
  Hyperparameters hyperparameters;  ///< filled when supported
};

class Model {
 public:
  /// Maps the weights (no copy on devices that compute over host memory).
  /// not_found; corrupt: truncated or inconsistent, with what and where;
  /// unsupported: an architecture or a tensor type that Driftwood does not know, by name.
  static Result<std::shared_ptr<const Model>> open(const std::filesystem::path& path, Device& device,
                                                   const ModelOptions& options = {});
  static Result<ModelSummary> summarize(const std::filesystem::path& path);
  ~Model();

  const std::string& name() const noexcept;
  const std::filesystem::path& path() const noexcept;
  /// SHA-256 of the file; remembered beside the cache by size and time, so that it is computed once.
  const Hash& hash() const noexcept;
  std::uint64_t file_bytes() const noexcept;
  const std::string& architecture() const noexcept;
  const Hyperparameters& hyperparameters() const noexcept;
  const Tokenizer& tokenizer() const noexcept;
  Device& device() const noexcept;
  /// How the device sees the weights.
  Sharing sharing() const noexcept;

  /// A weight by its GGUF name ("blk.0.attn_q.weight"), placed on the device; null when the file has none.
  /// "output.weight" is the token embeddings where the head is tied.
  /// Every weight that the family requires was checked for type and shape when the model was opened.
  ggml_tensor* weight(std::string_view tensor_name) const noexcept;
  ggml_tensor* layer_weight(std::uint32_t layer, std::string_view suffix) const noexcept;  ///< "attn_q.weight"

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
