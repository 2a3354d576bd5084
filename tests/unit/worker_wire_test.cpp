// Messages between a node and its device worker: what is written is read, and bytes that are no message are refused by
// both sides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "device/worker/connection.hpp"
#include "device/worker/graph_wire.hpp"
#include "device/worker/remote_graph.hpp"
#include "device/worker/wire.hpp"

namespace driftwood::worker {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const Writer& writer) { return {writer.bytes().begin(), writer.bytes().end()}; }

template <typename Message>
Bytes encoded(const Message& message) {
  Writer writer;
  encode(writer, message);
  return bytes_of(writer);
}

DeviceInfo some_info() {
  return {.name = "vulkan:0",
          .description = "A card",
          .memory_total = 5,
          .threads = 3,
          .capabilities = {.import_sharing = Sharing::mapped_over_bus,
                           .import_alignment = 4096,
                           .tensor_alignment = 64,
                           .max_import = kGiB,
                           .prompt_chunk = 256},
          .numerics = {.device = "card", .kernels = "1", .features = {"a", "b"}, .threads = 2}};
}

/// y = silu(x * w) over a view, as a graph with an import.
GraphMessage some_graph() {
  ggml_context* const context = ggml_init({.mem_size = 64 * 1024, .mem_buffer = nullptr, .no_alloc = true});
  ggml_tensor* const w = ggml_new_tensor_2d(context, GGML_TYPE_Q4_0, 64, 8);
  ggml_tensor* const x = ggml_new_tensor_2d(context, GGML_TYPE_F32, 64, 4);
  ggml_tensor* const half = ggml_view_2d(context, x, 64, 2, x->nb[1], 2 * x->nb[1]);
  ggml_tensor* const y = ggml_silu(context, ggml_mul_mat(context, w, half));
  ggml_cgraph* const nodes = ggml_new_graph_custom(context, 16, false);
  ggml_build_forward_expand(nodes, y);
  RemoteGraph graph(1, nodes, [](ggml_backend_buffer_t) -> RemoteImport* { return nullptr; });
  GraphMessage message = graph.describe([](ggml_backend_buffer_t) -> RemoteImport* { return nullptr; });
  ggml_free(context);
  return message;
}

template <typename Decode>
void expect_refused_when_cut(const Bytes& whole, const Decode& decode) {
  ASSERT_TRUE(decode(std::span(whole)));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode(std::span(whole).first(size))) << size << " of " << whole.size() << " bytes";
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode(std::span(longer))) << "and one byte more";
}

TEST(WorkerWire, MessagesComeBackAsTheyWere) {
  const DeviceInfo info = some_info();
  const DeviceInfo back = decode_device_info(encoded(info)).value();
  EXPECT_EQ(back.name, info.name);
  EXPECT_EQ(back.capabilities.import_sharing, Sharing::mapped_over_bus);
  EXPECT_EQ(back.capabilities.max_import, kGiB);
  EXPECT_EQ(back.numerics.features, info.numerics.features);

  const OpenRequest open{.device = "cpu", .options = {.threads = 3, .mirror_budget = 7}};
  EXPECT_EQ(decode_open_request(encoded(open))->options.mirror_budget, 7U);

  const GraphMessage graph = some_graph();
  const GraphMessage graph_back = decode_graph(encoded(graph)).value();
  ASSERT_EQ(graph_back.tensors.size(), 5U);
  EXPECT_EQ(graph_back.nodes, graph.nodes);
  EXPECT_EQ(graph_back.tensors.back().op, static_cast<std::uint32_t>(GGML_OP_UNARY));
  EXPECT_EQ(graph_back.tensors.back().op_params[0], GGML_UNARY_OP_SILU);

  const Bytes input(24, std::byte{9});
  RunRequest run;
  run.shapes.push_back({.tensor = 2, .ne = {1, 2, 3, 4}});
  run.places.push_back({.tensor = 1, .import = 8, .offset = 4096});
  run.inputs.push_back({3, input});
  const Bytes bytes = encoded(run);
  const RunRequest run_back = decode_run_request(bytes, input).value();
  EXPECT_EQ(run_back.shapes.at(0).ne[3], 4);
  EXPECT_EQ(run_back.places.at(0).offset, 4096U);
  EXPECT_TRUE(std::ranges::equal(run_back.inputs.at(0).bytes, input));
}

TEST(WorkerWire, MessagesThatAreCutOrLongerAreRefused) {
  const ImportRequest import{.lead = 1, .size = 10, .pieces = {{.size = page_size()}}};
  const Bytes input(24, std::byte{9});
  RunRequest run;
  run.shapes.push_back({.tensor = 2, .ne = {1, 2, 3, 4}});
  run.inputs.push_back({3, input});
  expect_refused_when_cut(encoded(OpenRequest{.device = "cpu", .options = {}}), decode_open_request);
  expect_refused_when_cut(encoded(some_info()), decode_device_info);
  expect_refused_when_cut(encoded(import), decode_import_request);
  expect_refused_when_cut(encoded(ImportAnswer{}), decode_import_answer);
  expect_refused_when_cut(encoded(run),
                          [&](std::span<const std::byte> bytes) { return decode_run_request(bytes, input); });
  EXPECT_FALSE(decode_run_request(encoded(run), std::span(input).first(23))) << "an input that is not there";
  expect_refused_when_cut(encoded(some_graph()), decode_graph);
}

TEST(WorkerWire, ImportsWhosePiecesCannotBeAreRefused) {
  const std::size_t page = page_size();
  const auto is_taken = [](const ImportRequest& request) {
    return decode_import_request(encoded(request)).has_value();
  };
  EXPECT_TRUE(is_taken({.size = page, .pieces = {{.size = page}}}));
  EXPECT_FALSE(is_taken({.size = page + 1, .pieces = {{.size = page}}})) << "more than its pages";
  EXPECT_FALSE(is_taken({.lead = 1, .size = page, .pieces = {{.size = page}}})) << "beyond its pages";
  EXPECT_FALSE(is_taken({.size = 0, .pieces = {{.size = page}}}));
  EXPECT_FALSE(is_taken({.size = page, .pieces = {}}));
  EXPECT_FALSE(is_taken({.size = page, .pieces = {{.size = page, .file_offset = 5}}})) << "no whole page";
  EXPECT_FALSE(is_taken({.size = page, .pieces = {{.size = page + 7}}})) << "no whole page";
  EXPECT_FALSE(is_taken({.size = page, .pieces = {{.size = page, .file = kMostFiles}}}));
  const std::size_t half = std::size_t{1} << 63;
  EXPECT_FALSE(is_taken({.size = page, .pieces = {{.size = half}, {.size = half}}})) << "more than there is";
}

TEST(WorkerWire, GraphsThatReferToWhatIsNotThereAreRefused) {
  const GraphMessage good = some_graph();
  const auto is_taken = [&](const auto& change) {
    GraphMessage graph = good;
    change(graph);
    return decode_graph(encoded(graph)).has_value();
  };
  using G = GraphMessage;
  ASSERT_TRUE(is_taken([](G&) {}));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[3].sources[0] = 3; })) << "itself";
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[3].sources[0] = 99; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[3].sources[1] = -1; })) << "a product of one";
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].type = GGML_TYPE_COUNT; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].type = 4; })) << "a type that ggml has no more";
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].ne[0] = 33; })) << "no whole blocks";
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].ne[1] = -1; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].ne[1] = INT64_MAX; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[0].nb[1] = UINT64_MAX; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[3].op = GGML_OP_COUNT; }));
  EXPECT_FALSE(is_taken([](G& g) { g.tensors[3].op = GGML_OP_CUSTOM; })) << "a function of the node's";
  EXPECT_FALSE(is_taken([](G& g) { g.nodes.back() = 99; }));
  EXPECT_FALSE(is_taken([](G& g) { std::ranges::reverse(g.nodes); }));
  const auto view = std::ranges::find_if(good.tensors, [](const TensorRecord& t) { return t.view_of >= 0; });
  ASSERT_NE(view, good.tensors.end());
  const auto at = static_cast<std::size_t>(view - good.tensors.begin());
  EXPECT_FALSE(is_taken([&](G& g) { g.tensors[at].view_offset += 4; })) << "beyond what it is a view of";
  EXPECT_FALSE(is_taken([&](G& g) { g.tensors[at].ne[1] = 3; }));
}

TEST(WorkerWire, AnyBytesAreRefusedOrAGraphWhoseViewsLieWithinTheirTensors) {
  const Bytes whole = encoded(some_graph());
  std::mt19937 random(1);
  int taken = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes = whole;
    for (auto n = 1 + random() % 4; n > 0; --n) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    const auto graph = decode_graph(bytes);
    if (!graph) continue;
    ++taken;
    for (const TensorRecord& tensor : graph->tensors) {
      const auto extent = extent_of(tensor.type, tensor.ne, tensor.nb);
      ASSERT_TRUE(extent);
      if (tensor.view_of < 0) continue;
      const TensorRecord& root = graph->tensors[static_cast<std::size_t>(tensor.view_of)];
      ASSERT_LE(tensor.view_offset + *extent, extent_of(root.type, root.ne, root.nb).value());
    }
  }
  EXPECT_GT(taken, 0) << "some changes do no harm";
}

TEST(WorkerWire, ExtentIsWhatGgmlCounts) {
  ggml_context* const context = ggml_init({.mem_size = 64 * 1024, .mem_buffer = nullptr, .no_alloc = true});
  ggml_tensor* const x = ggml_new_tensor_3d(context, GGML_TYPE_F16, 32, 5, 7);
  for (ggml_tensor* tensor :
       {x, ggml_permute(context, x, 1, 0, 2, 3), ggml_view_2d(context, x, 3, 4, x->nb[1], 8),
        ggml_new_tensor_2d(context, GGML_TYPE_Q6_K, 512, 3), ggml_new_tensor_2d(context, GGML_TYPE_F32, 0, 3)}) {
    EXPECT_EQ(extent_of(tensor->type, tensor->ne, tensor->nb), ggml_nbytes(tensor));
  }
  ggml_free(context);
}

TEST(WorkerWire, WorkerRefusesAnyBodyAndGoesOn) {
  const auto connection = Connection::start(find_worker_program().value(), std::chrono::seconds(60)).value();
  std::mt19937 random(7);
  const auto ask_nonsense = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      Bytes body(random() % 400);
      for (std::byte& byte : body) byte = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
      const auto kind = static_cast<Kind>(2 + random() % (kKinds - 2));
      if (kind == Kind::release || kind == Kind::forget) {
        connection->notify(kind, random() % 3);
        continue;
      }
      const auto answer = connection->ask({.kind = kind, .id = random() % 3, .body = body});
      ASSERT_FALSE(connection->ended()) << "kind " << static_cast<int>(kind);
      EXPECT_TRUE(kind == Kind::supports || kind == Kind::room || !answer) << "kind " << static_cast<int>(kind);
    }
  };
  ask_nonsense(500);
  Writer open;
  encode(open, OpenRequest{.device = "null", .options = {}});
  ASSERT_TRUE(connection->ask({.kind = Kind::open, .body = open.bytes()}));
  ask_nonsense(2000);
  // Pages beyond the end of the file that is given with them.
  const auto file = MemoryFile::create(page_size()).value();
  const std::vector<int> files{file->fd()};
  for (const std::size_t pages : {std::size_t{1}, std::size_t{2}}) {
    Writer import;
    encode(import, ImportRequest{.size = pages * page_size(), .pieces = {{.size = pages * page_size()}}});
    const auto held = connection->ask({.kind = Kind::hold, .id = 100 + pages, .body = import.bytes(), .files = files});
    EXPECT_EQ(held.has_value(), pages == 1);
  }
}

}  // namespace
}  // namespace driftwood::worker
