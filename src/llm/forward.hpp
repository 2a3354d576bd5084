// Forward passes of a Model over tokens into Contexts, giving logits.
//
// A function over memory: a request reads tokens and the Context's KV rows, appends
// rows, and writes logits, all in the imported memory; what is kept between requests
// are caches (graphs by shape). Requests of several threads share passes over the
// weights (executor/executor.hpp); the results do not show it. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "core/error.hpp"
#include "llm/context.hpp"
#include "llm/executor/statistics.hpp"
#include "llm/forward_request.hpp"
#include "llm/passes.hpp"
#include "model/model.hpp"

namespace driftwood {

inline constexpr std::uint32_t kMaxChunk = 65536;  ///< tokens

struct ForwardOptions {
  std::uint32_t chunk =
      512;  ///< most tokens of prompts in one pass over the weights, 1 to kMaxChunk; rounded up to a multiple of 8
  AttentionKind attention = AttentionKind::automatic;
  ProductKind products = ProductKind::automatic;
  std::uint32_t max_waiting = 4096;  ///< requests that wait at the same time, at least 1
  /// A request's results do not depend on what else is computed, whatever it costs; else only where that costs nothing:
  /// with fused attention and packed products.
  bool strict = false;
  std::filesystem::path packed_cache;  ///< a folder where processes share packed weights; empty: each packs its own
};

class Forward {
 public:
  /// invalid_argument: a number out of range; unsupported: fused attention or packed products that
  /// the device or the model does not allow; out_of_memory: no room for the packed weights.
  static Result<std::unique_ptr<Forward>> create(std::shared_ptr<const Model> model,
                                                 const ForwardOptions& options = {});
  ~Forward();

  /// The Context's token count advances only when everything succeeded.
  /// invalid_argument: a token outside the vocabulary, a full context (with how much is left),
  /// logits that do not fit; corrupt / incompatible: see check_context; cancelled; unavailable: max_waiting requests
  /// wait; device errors.
  Result<void> run(const ForwardRequest& request);

  /// Frees the graphs that were kept; no result depends on them.
  void drop_caches();
  ExecutorStatistics statistics() const;

  const Model& model() const noexcept;
  /// Bytes of the model's file, which is mapped, and of what is packed beside it.
  std::uint64_t weight_bytes() const noexcept;

 private:
  struct State;
  explicit Forward(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
