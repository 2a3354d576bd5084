// libllama over a whole sequence: the independent reference for logits and greedy tokens.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace driftwood::testing {

struct ReferenceOptions {
  std::uint32_t n_ctx = 512;
  std::uint32_t n_batch = 512;  ///< tokens in one pass
  ggml_type kv_type = GGML_TYPE_F16;
  bool flash_attention = true;
  int threads = 1;
  ggml_backend_dev_t device = nullptr;  ///< that has all layers and the KV cache; null: the CPU
};

/// One thread at a time. Every function throws std::runtime_error.
class LibllamaReference {
 public:
  explicit LibllamaReference(const std::filesystem::path& model, const ReferenceOptions& options = {});
  ~LibllamaReference();

  /// Appends `tokens`; the logits of the last one. The span dies with the next call.
  std::span<const float> forward(std::span<const std::int32_t> tokens);
  /// Forgets the tokens from `n_tokens` on.
  void truncate(std::uint32_t n_tokens);
  std::uint32_t n_vocab() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace driftwood::testing
