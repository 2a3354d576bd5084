// Passes of a model over the next tokens of jobs. Any thread; passes run one after another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "core/error.hpp"
#include "llm/forward_job.hpp"

namespace driftwood {

/// What an Executor drives.
class Passes {
 public:
  virtual ~Passes() = default;

  /// Gets a job ready for its first pass. Fails as ForwardJob::start does.
  virtual Result<void> start(ForwardJob& job) = 0;
  /// Runs the slices' tokens through the model and advances their jobs, or fails them. Each job has one slice; no two
  /// use the same memory. No job's results depend on the others.
  virtual void run(std::span<const PassSlice> slices) = 0;
  /// Runs some more layers over a piece and advances its job, or fails it. Passes over other jobs may come in between,
  /// but no piece of another job unless this one's ends, fails or is given up. A job's results do not show that they
  /// were cut. Only where piece_layers() says so. A run that yields ends in time for others, and the next one goes on
  /// from there, be it within a layer.
  virtual void run(const PassPiece& piece) = 0;
  /// The job's piece, which has had some layers, gets no more.
  virtual void give_up(const ForwardJob& job) noexcept = 0;
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

struct PassOptions {
  AttentionKind attention = AttentionKind::automatic;
  ProductKind products = ProductKind::automatic;
  bool strict = false;                 ///< where the device runs host kernels, a token's bits never depend on its pass
  std::filesystem::path packed_cache;  ///< a folder for packed weights (graph/packed_cache.hpp); empty: none
};

/// A Model's passes on its device: with fused attention one pass over the weights for all slices, else one for each.
class ModelPasses final : public Passes {
 public:
  /// unsupported: fused attention or packed products that the device or the model does not allow; out_of_memory: no
  /// room for the packed weights.
  /// invalid_argument: strict results of ggml's products on host kernels.
  static Result<std::unique_ptr<ModelPasses>> create(std::shared_ptr<const Model> model, const PassOptions& options);
  ~ModelPasses() override;

  Result<void> start(ForwardJob& job) override;
  void run(std::span<const PassSlice> slices) override;
  void run(const PassPiece& piece) override;
  void give_up(const ForwardJob& job) noexcept override;
  /// Frees the graphs that were kept, but for that of a piece which has had some layers; no result depends on them.
  void drop_caches();

  const Model& model() const noexcept;
  /// Whether a pass serves many requests, and may cut them anywhere.
  bool fused() const noexcept;
  /// Layers that pieces may be run by; 0: none.
  std::uint32_t piece_layers() const noexcept;
  /// Bytes of what is packed beside the model's file.
  std::uint64_t packed_bytes() const noexcept;

 private:
  struct State;
  explicit ModelPasses(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace driftwood
