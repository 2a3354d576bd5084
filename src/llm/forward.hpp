// One pass of a Model over tokens into a Context, giving logits.
//
// A function over memory: it reads tokens and the Context's KV rows, appends
// rows, and writes logits, all in the imported memory; it keeps caches only
// (graphs by shape). Calls on one Forward run one after another; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "core/bytes.hpp"
#include "core/error.hpp"
#include "device/import.hpp"
#include "llm/context.hpp"
#include "model/model.hpp"

namespace driftwood {

enum class Outputs : std::uint8_t { none, last, all, top_k };

struct TokenLogit {
  std::int32_t token;
  float logit;
};

struct ForwardRequest {
  const Import* memory = nullptr;  ///< the linear memory, as the model's device holds it
  ByteRange context;               ///< of the whole Context in `memory`
  std::span<const Token> tokens;   ///< host's view; each must be in the vocabulary
  Outputs outputs = Outputs::last;
  ByteRange logits;  ///< where they go in `memory`: f32 rows, or TokenLogit[top_k]
  std::uint32_t top_k = 0;
  const std::atomic<bool>* cancel = nullptr;  ///< looked at between chunks and inside long ones
  std::function<void(std::uint32_t done, std::uint32_t all)> progress;  ///< tokens, after each chunk
};

/// How attention reads the KV rows; the results agree within rounding.
enum class AttentionKind : std::uint8_t {
  automatic,  ///< fused where the device runs host kernels and has one for the model's heads
  fused,      ///< Driftwood's own kernel
  stock,      ///< ggml's operator
};

/// How weights are multiplied; the results agree within rounding.
enum class ProductKind : std::uint8_t {
  automatic,  ///< packed where the device runs host kernels
  packed,     ///< Driftwood's own kernels, over a packed copy made by create(); ggml's where a type has no packed form
  stock,      ///< ggml's operators over the weights as they lie in the file
};

inline constexpr std::uint32_t kMaxChunk = 65536;  ///< tokens

struct ForwardOptions {
  std::uint32_t chunk =
      512;  ///< most tokens in one pass over the weights, 1 to kMaxChunk; rounded up to a multiple of 8
  AttentionKind attention = AttentionKind::automatic;
  ProductKind products = ProductKind::automatic;
};

class Forward {
 public:
  /// invalid_argument: a chunk out of range; unsupported: fused attention or packed products that
  /// the device or the model does not allow; out_of_memory: no room for the packed weights.
  static Result<std::unique_ptr<Forward>> create(std::shared_ptr<const Model> model,
                                                 const ForwardOptions& options = {});
  ~Forward();

  /// The Context's token count advances only when everything succeeded.
  /// invalid_argument: a token outside the vocabulary, a full context (with how much is left),
  /// logits that do not fit; corrupt / incompatible: see check_context; cancelled; device errors.
  Result<void> run(const ForwardRequest& request);

  /// Frees the graphs that were kept; no result depends on them.
  void drop_caches();

  const Model& model() const noexcept;
  /// Bytes of the model's file, which is mapped, and of what is packed beside it.
  std::uint64_t weight_bytes() const noexcept;

 private:
  struct State;
  explicit Forward(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
