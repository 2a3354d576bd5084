// Which order of a Context's KV rows decodes faster, and how many pages a token dirties:
// the figures behind docs/decisions/0002-context-layout.md.
//
// One token's stores and attention over all layers of a model of SmolLM2-135M's sizes,
// in a Region's memory, between readings of as many bytes as that model's weights take
// (so that no KV row is still in a cache). The orders take turns, run by run.
//
//   kv_layout [--threads N] [--huge-pages]
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "device/cpu/attention.hpp"
#include "device/device.hpp"
#include "device/graph.hpp"
#include "memory/region.hpp"

namespace driftwood {
namespace {

constexpr std::uint32_t kLayers = 30;
constexpr std::uint32_t kHeads = 9;
constexpr std::uint32_t kKvHeads = 3;
constexpr std::uint32_t kHeadDim = 64;
constexpr std::size_t kRowBytes = kKvHeads * kHeadDim * 2;
constexpr std::size_t kRecordBytes = 2 * kRowBytes;  // of one token in one layer
constexpr std::size_t kWeightBytes = 96 * kMiB;
constexpr std::uint32_t kMaxTokens = 4352;  // a multiple of every block
constexpr int kRuns = 31;

/// Tokens in blocks of `block`, the layers of a block one after another; 1 is token-major.
struct Order {
  const char* name;
  std::uint32_t block;

  std::size_t layer_offset(std::uint32_t layer) const { return std::size_t{layer} * block * kRecordBytes; }
  std::size_t record(std::uint32_t token, std::uint32_t layer) const {
    return std::size_t{token / block} * block * kLayers * kRecordBytes + layer_offset(layer) +
           token % block * kRecordBytes;
  }
};

constexpr Order kOrders[] = {{"token-major", 1}, {"blocks of 32", 32}, {"blocks of 64", 64}};

/// Decoding one token over KV rows in one order.
class Decode {
 public:
  Decode(Device& device, std::byte* memory, Order order) : order_(order), memory_(memory), nodes_(kLayers) {
    // A token-major record is a span of all tokens; a block of another order is a span of its own.
    state_.token_stride = order.block == 1 ? kLayers * kRecordBytes : kRecordBytes;
    auto graph =
        Graph::create(device, std::size_t{16} * kLayers, [&](Graph&, ggml_context* context, ggml_cgraph* nodes) {
          build(context, nodes);
          return Result<void>();
        });
    if (!graph) throw std::runtime_error(graph.error().to_string());
    graph_ = std::move(*graph);
  }

  /// Microseconds of one token after `n_past`.
  double run(std::uint32_t n_past) {
    state_.n_past = n_past;
    state_.spans.clear();
    const std::size_t stride = kLayers * kRecordBytes;
    if (order_.block == 1) {
      state_.spans.push_back({memory_, kMaxTokens});
    } else {
      for (std::uint32_t token = 0; token <= n_past; token += order_.block) {
        state_.spans.push_back({memory_ + token * stride, order_.block});
      }
    }
    const Stopwatch watch;
    if (auto done = graph_->run(); !done) throw std::runtime_error(done.error().to_string());
    return watch.elapsed_us();
  }

 private:
  void build(ggml_context* context, ggml_cgraph* graph) {
    ggml_tensor* k = ggml_new_tensor_3d(context, GGML_TYPE_F32, kHeadDim, kKvHeads, 1);
    ggml_tensor* q = ggml_new_tensor_3d(context, GGML_TYPE_F32, kHeadDim, kHeads, 1);
    ggml_set_input(k);
    ggml_set_input(q);
    for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
      nodes_[layer] = {.state = &state_,
                       .layer_offset = order_.layer_offset(layer),
                       .row_bytes = kRowBytes,
                       .n_head = kHeads,
                       .n_head_kv = kKvHeads,
                       .head_dim = kHeadDim,
                       .scale = 0.125F};
      ggml_tensor* stored = cpu::store_kv(context, k, k, &nodes_[layer]);
      q = ggml_reshape_3d(context, cpu::attention(context, q, stored, &nodes_[layer]), kHeadDim, kHeads, 1);
    }
    ggml_build_forward_expand(graph, q);
  }

  Order order_;
  std::byte* memory_;
  cpu::KvState state_;
  std::vector<cpu::AttentionNode> nodes_;
  std::unique_ptr<Graph> graph_;
};

/// Pages of `page` bytes that the rows of `token` lie in.
std::size_t pages_dirtied(Order order, std::uint32_t token, std::size_t page) {
  std::set<std::size_t> pages;
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const std::size_t begin = order.record(token, layer);
    for (std::size_t at = begin / page; at <= (begin + kRecordBytes - 1) / page; ++at) pages.insert(at);
  }
  return pages.size();
}

double mean_pages(Order order, std::size_t page) {
  std::size_t pages = 0;
  constexpr std::uint32_t kTokens = 256;
  for (std::uint32_t token = 0; token < kTokens; ++token) pages += pages_dirtied(order, token, page);
  return static_cast<double>(pages) / kTokens;
}

int run(int threads, bool huge_pages) {
  auto device = open_device("cpu", {.threads = threads});
  if (!device) return fmt::print(stderr, "kv_layout: {}\n", device.error().to_string()), 1;
  const std::size_t bytes = align_up(kMaxTokens * kLayers * kRecordBytes, 2 * kMiB);
  auto region = Region::create({.reserve = bytes, .commit = bytes});
  if (!region) return fmt::print(stderr, "kv_layout: {}\n", region.error().to_string()), 1;
#if defined(MADV_HUGEPAGE)
  if (huge_pages) ::madvise((*region)->data(), bytes, MADV_HUGEPAGE);
#endif
  std::memset((*region)->data(), 0, bytes);
  std::vector<std::uint64_t> weights(kWeightBytes / sizeof(std::uint64_t), 1);
  std::uint64_t sum = 0;

  std::vector<std::unique_ptr<Decode>> decodes;
  for (const Order& order : kOrders) decodes.push_back(std::make_unique<Decode>(**device, (*region)->data(), order));
  for (const std::uint32_t n_past : {512U, 4096U}) {
    std::vector<std::vector<double>> times(decodes.size());
    for (int i = 0; i < kRuns; ++i) {
      for (std::size_t order = 0; order < decodes.size(); ++order) {
        sum += std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
        times[order].push_back(decodes[order]->run(n_past));
      }
    }
    for (std::size_t order = 0; order < decodes.size(); ++order) {
      std::ranges::sort(times[order]);
      fmt::print("{:>5} tokens, {:<12}: min {:6.0f} us, median {:6.0f} us, p95 {:6.0f} us\n", n_past,
                 kOrders[order].name, times[order].front(), times[order][kRuns / 2], times[order][kRuns * 95 / 100]);
    }
  }
  for (const Order& order : kOrders) {
    fmt::print("{:<12}: a token dirties {:.1f} pages of 4 KiB, {:.1f} of 16 KiB\n", order.name, mean_pages(order, 4096),
               mean_pages(order, 16384));
  }
  return sum == 0 ? 1 : 0;
}

}  // namespace
}  // namespace driftwood

int main(int argc, char** argv) {
  int threads = 0;
  bool huge_pages = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--huge-pages") {
      huge_pages = true;
    } else if (argument == "--threads" && i + 1 < argc) {
      threads = std::atoi(argv[++i]);
    } else {
      fmt::print(stderr, "usage: kv_layout [--threads N] [--huge-pages]\n");
      return 2;
    }
  }
  try {
    return driftwood::run(threads, huge_pages);
  } catch (const std::exception& error) {
    fmt::print(stderr, "kv_layout: {}\n", error.what());
    return 1;
  }
}
