#include "device/cuda/decode/decoder.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "device/cuda/decode/plan.hpp"
#include "device/cuda/decode/step_launch.hpp"
#include "device/cuda/decode/step_memory.hpp"
#include "device/cuda/status.hpp"

namespace driftwood::cuda {
namespace {

constexpr int kFirstTopK = 64;
constexpr int kFirstChunks = 32;

/// Memory that the host and the device see.
template <typename T>
struct SharedArray {
  ~SharedArray() { cudaFreeHost(host); }
  SharedArray() = default;
  SharedArray(const SharedArray&) = delete;
  SharedArray& operator=(const SharedArray&) = delete;

  Result<void> allocate(std::size_t count) {
    void* made = nullptr;
    DW_TRY(check(cudaHostAlloc(&made, count * sizeof(T), cudaHostAllocMapped), "pinning memory for a decoder"));
    cudaFreeHost(host);
    host = static_cast<T*>(made);
    void* seen = nullptr;
    DW_TRY(check(cudaHostGetDevicePointer(&seen, made, 0), "mapping memory for a decoder"));
    device = static_cast<T*>(seen);
    return {};
  }

  T* host = nullptr;
  T* device = nullptr;
};

class CudaDecoder final : public Decoder {
 public:
  explicit CudaDecoder(int device) : device_(device) {}

  ~CudaDecoder() override {
    cudaSetDevice(device_);
    forget_graphs();
    cudaFree(weights_);
    cudaFree(block_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Result<void> set_up(const DecoderModel& model, std::size_t budget) {
    weight_bytes_ = plan_bytes(model);
    if (weight_bytes_ > budget) {
      return fail(ErrorCode::out_of_memory,
                  fmt::format("The packed weights of the fused decoder ({} bytes) are more than its budget ({}).",
                              weight_bytes_, budget));
    }
    DW_TRY(check(cudaSetDevice(device_), "choosing the device"));
    DW_TRY(check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
    DW_TRY(check(cudaMalloc(&weights_, weight_bytes_), "making room for packed weights"));
    std::size_t used = 0;
    DW_TRY_ASSIGN(
        plan_, make_plan(model, [&](std::span<const std::uint8_t> bytes) -> Result<const std::uint8_t*> {
          auto* const at = static_cast<std::uint8_t*>(weights_) + used;
          used += (bytes.size() + 255) / 256 * 256;
          DW_TRY(check(cudaMemcpy(at, bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "uploading packed weights"));
          return at;
        }));
    DW_TRY(input_.allocate(kMaxRows));
    DW_TRY(records_.allocate(kMaxRows * std::size_t{plan_.model.token_stride}));
    return reserve(kFirstChunks, kFirstTopK);
  }

  std::uint32_t max_rows() const noexcept override { return kMaxRows; }
  std::uint32_t max_top_k() const noexcept override {
    return static_cast<std::uint32_t>(std::min(kTopKSlice, plan_.model.n_vocab));
  }
  std::uint64_t bytes() const noexcept override { return weight_bytes_ + block_bytes_; }

  Result<void> run(std::span<const Row> rows, std::uint32_t top_k, const std::function<void()>& meanwhile) override {
    DW_TRY(check(cudaSetDevice(device_), "choosing the device"));
    std::uint32_t longest = 0;
    const std::size_t stride = plan_.model.token_stride;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      longest = std::max(longest, rows[i].n_past + 1);
      input_.host[i] = {rows[i].token, static_cast<std::int32_t>(rows[i].n_past),
                        reinterpret_cast<std::uint8_t*>(rows[i].records), records_.device + i * stride};
    }
    top_k_ = static_cast<int>(top_k);
    const StepShape shape{static_cast<int>(rows.size()),
                          static_cast<int>(std::bit_ceil((longest + kAttentionChunk - 1) / kAttentionChunk)), top_k_};
    DW_TRY(reserve(shape.max_chunks, shape.top_k));
    DW_TRY_ASSIGN(const cudaGraphExec_t graph, graph_of(shape));
    DW_TRY(check(cudaGraphLaunch(graph, stream_), "launching a decoding step"));
    meanwhile();
    return check(cudaStreamSynchronize(stream_), "a decoding step");
  }

  std::span<const std::byte> record(std::size_t row) const override {
    const std::size_t stride = plan_.model.token_stride;
    return {reinterpret_cast<const std::byte*>(records_.host) + row * stride, stride};
  }
  std::span<const Best> best(std::size_t row) const override {
    static_assert(sizeof(Best) == sizeof(TopKEntry));
    return {reinterpret_cast<const Best*>(best_.host) + row * top_k_, static_cast<std::size_t>(top_k_)};
  }
  Result<void> logits(std::size_t row, std::span<float> out) override {
    return check(
        cudaMemcpy(out.data(), memory_.logits + row * plan_.model.n_vocab, out.size_bytes(), cudaMemcpyDeviceToHost),
        "copying logits");
  }

 private:
  /// Makes the step's memory at least this large.
  Result<void> reserve(int max_chunks, int top_k) {
    if (max_chunks <= max_chunks_ && top_k <= max_top_k_) return {};
    max_chunks = std::max(max_chunks, max_chunks_);
    top_k = std::max(top_k, max_top_k_);
    forget_graphs();
    cudaFree(block_);
    block_ = nullptr;
    max_chunks_ = 0;
    block_bytes_ = step_memory_bytes(plan_.model, max_chunks, top_k);
    DW_TRY(check(cudaMalloc(&block_, block_bytes_), "making room for decoding"));
    DW_TRY(check(cudaMemset(block_, 0, block_bytes_), "clearing the room for decoding"));
    memory_ = step_memory(plan_.model, max_chunks, top_k, static_cast<std::uint8_t*>(block_), &keys_);
    memory_.input = input_.device;
    DW_TRY(best_.allocate(static_cast<std::size_t>(kMaxRows) * top_k));
    max_chunks_ = max_chunks;
    max_top_k_ = top_k;
    return {};
  }

  Result<cudaGraphExec_t> graph_of(const StepShape& shape) {
    const auto key = std::tuple(shape.n_rows, shape.max_chunks, shape.top_k);
    if (const auto found = graphs_.find(key); found != graphs_.end()) return found->second;
    auto graph = record(shape);
    if (!graph && overlap_) {
      overlap_ = false;
      graph = record(shape);
    }
    if (graph) graphs_.emplace(key, *graph);
    return graph;
  }

  Result<cudaGraphExec_t> record(const StepShape& shape) {
    DW_TRY(check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording a decoding step"));
    const cudaError_t launched =
        launch_step(stream_, overlap_, plan_.model, plan_.layers.data(), static_cast<int>(plan_.layers.size()), memory_,
                    shape, {keys_, best_.device});
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
    DW_TRY(check(launched, "recording a decoding step"));
    DW_TRY(check(ended, "recording a decoding step"));
    cudaGraphExec_t made = nullptr;
    const cudaError_t instantiated = cudaGraphInstantiate(&made, graph, 0);
    cudaGraphDestroy(graph);
    DW_TRY(check(instantiated, "preparing a decoding step"));
    return made;
  }

  void forget_graphs() noexcept {
    for (const auto& [shape, graph] : graphs_) cudaGraphExecDestroy(graph);
    graphs_.clear();
  }

  int device_;
  cudaStream_t stream_ = nullptr;
  void* weights_ = nullptr;
  std::size_t weight_bytes_ = 0;
  StepPlan plan_;
  void* block_ = nullptr;
  std::size_t block_bytes_ = 0;
  int max_chunks_ = 0;
  int max_top_k_ = 0;
  int top_k_ = 0;
  StepMemory memory_;
  TopKKey* keys_ = nullptr;
  SharedArray<StepRow> input_;
  SharedArray<std::uint8_t> records_;
  SharedArray<TopKEntry> best_;
  bool overlap_ = true;
  std::map<std::tuple<int, int, int>, cudaGraphExec_t> graphs_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> make_decoder(int device, const DecoderModel& model, std::size_t budget) {
  DW_TRY(check_decodable(model));
  auto decoder = std::make_unique<CudaDecoder>(device);
  DW_TRY(decoder->set_up(model, budget));
  return decoder;
}

}  // namespace driftwood::cuda
