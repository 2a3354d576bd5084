#include "hostcalls/tensor_check.hpp"

#include <ggml.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "support/tensor_list.hpp"

namespace driftwood {
namespace {

using test::Shape;
using test::TensorList;
using testing::HasSubstr;

constexpr std::size_t kMemory = kMiB;

Result<TensorProgram> check(const TensorList& list, std::size_t memory = kMemory) {
  return check_tensor_program({std::as_bytes(std::span(list.tensors)), std::as_bytes(std::span(list.ops))}, memory);
}

// The list passes as it is, and is refused with `sentence` once `spoil` has changed it.
void expect_refused(TensorList list, const std::function<void(TensorList&)>& spoil, std::string_view sentence) {
  const auto before = check(list);
  ASSERT_TRUE(before) << before.error().message;
  spoil(list);
  const auto after = check(list);
  ASSERT_FALSE(after) << "not refused, though expected: " << sentence;
  EXPECT_THAT(after.error().message, HasSubstr(sentence));
}

TensorList matmul() {
  TensorList list;
  list.tensor(0, DW_TYPE_F32, {64, 8, 1, 1});
  list.tensor(32768, DW_TYPE_F32, {64, 4, 2, 1});
  list.tensor(65536, DW_TYPE_F32, {8, 4, 2, 1});
  list.op(DW_OP_MATMUL, 2, {0, 1});
  return list;
}

TensorList rope() {
  TensorList list;
  list.tensor(0, DW_TYPE_F32, {64, 4, 5, 1});
  list.tensor(32768, DW_TYPE_I32, {5, 1, 1, 1});
  list.op(DW_OP_ROPE, 0, {0, 1}, {.i = {64, DW_ROPE_NEOX}, .f = {10000.0F, 1.0F}});
  return list;
}

TensorList attention() {
  TensorList list;
  list.tensor(0, DW_TYPE_F32, {64, 5, 4, 1});
  list.tensor(65536, DW_TYPE_F16, {64, 7, 2, 1});
  list.tensor(131072, DW_TYPE_F16, {64, 7, 2, 1});
  list.tensor(196608, DW_TYPE_F16, {7, 5, 1, 1});
  list.tensor(262144, DW_TYPE_F32, {64, 4, 5, 1});
  list.op(DW_OP_ATTENTION, 4, {0, 1, 2, 3}, {.f = {0.125F, 0.0F}});
  return list;
}

TensorList get_rows() {
  TensorList list;
  list.tensor(0, DW_TYPE_Q8_0, {64, 10, 1, 1});
  list.tensor(32768, DW_TYPE_I32, {3, 1, 1, 1});
  list.tensor(65536, DW_TYPE_F32, {64, 3, 1, 1});
  list.op(DW_OP_GET_ROWS, 2, {0, 1});
  return list;
}

TensorList unary(std::uint32_t op, test::OpParameters parameters = {}) {
  TensorList list;
  list.tensor(0, DW_TYPE_F32, {64, 10, 1, 1});
  list.tensor(32768, DW_TYPE_F32, {64, 10, 1, 1});
  list.op(op, 1, {0}, parameters);
  return list;
}

TensorList add() {
  TensorList list;
  list.tensor(0, DW_TYPE_F32, {64, 10, 1, 1});
  list.tensor(32768, DW_TYPE_F32, {64, 1, 1, 1});
  list.tensor(65536, DW_TYPE_F32, {64, 10, 1, 1});
  list.op(DW_OP_ADD, 2, {0, 1});
  return list;
}

TEST(TensorTypes, HaveGgmlsBlocks) {
  for (std::uint32_t type = 0; type < 64; ++type) {
    const auto layout = type_layout(type);
    if (!layout) continue;
    const auto ggml = static_cast<ggml_type>(type);
    EXPECT_EQ(layout->name, ggml_type_name(ggml));
    EXPECT_EQ(layout->block_elements, ggml_blck_size(ggml));
    EXPECT_EQ(layout->block_bytes, ggml_type_size(ggml));
  }
}

TEST(TensorCheck, RefusesTensorsThatAreNotInMemory) {
  expect_refused(matmul(), [](auto& l) { l.tensors[0].type = 4; }, "Tensor 0 of dw_tensor_run has the type 4");
  expect_refused(matmul(), [](auto& l) { l.tensors[1].ne[1] = 0; }, "empty");
  expect_refused(matmul(), [](auto& l) { l.tensors[1].data = 16; }, "not aligned to 32 bytes");
  expect_refused(matmul(), [](auto& l) { l.tensors[1].data = kMemory - 32; }, "reaches beyond linear memory");
  expect_refused(matmul(), [](auto& l) { l.tensors[1].data = 0xffffffe0; }, "reaches beyond linear memory");
  expect_refused(matmul(), [](auto& l) { std::fill_n(l.tensors[0].ne, 4, 0xffffffffU); }, "larger than memory");
  expect_refused(matmul(), [](auto& l) { std::fill_n(l.tensors[0].ne, 4, 0x80000000U); }, "larger than memory");
  expect_refused(get_rows(), [](auto& l) { l.tensors[0].ne[0] = 65; }, "no multiple of the block of q8_0 (32)");
}

TEST(TensorCheck, RefusesStridesThatPutElementsTogether) {
  const auto strides = [](Shape nb) {
    return [nb](TensorList& l) { std::copy(nb.begin(), nb.end(), l.tensors[1].nb); };
  };
  expect_refused(matmul(), strides({8, 256, 1024, 2048}), "nb[0] (8)");
  expect_refused(matmul(), strides({4, 254, 1024, 2048}), "nb[1] (254), which is no multiple");
  expect_refused(matmul(), strides({4, 252, 1024, 2048}), "same bytes");
  expect_refused(matmul(), strides({4, 256, 256, 2048}), "same bytes");
  expect_refused(matmul(), strides({4, 0, 1024, 2048}), "same bytes");
  expect_refused(matmul(), strides({4, 256, 0xfffffffc, 2048}), "reaches beyond");

  TensorList permuted = matmul();
  strides({4, 512, 256, 0})(permuted);
  EXPECT_TRUE(check(permuted)) << check(permuted).error().message;
}

TEST(TensorCheck, RefusesOpsThatNameWhatIsNotThere) {
  expect_refused(matmul(), [](auto& l) { l.ops[0].op = 0; }, "no DW_OP_*");
  expect_refused(matmul(), [](auto& l) { l.ops[0].op = 13; }, "no DW_OP_*");
  expect_refused(matmul(), [](auto& l) { l.ops[0].dst = 3; }, "dst (3) is not one of the 3 tensors");
  expect_refused(matmul(), [](auto& l) { l.ops[0].src[1] = 3; }, "src 1 (3) is not one of the 3 tensors");
  expect_refused(matmul(), [](auto& l) { l.ops[0].src[1] = DW_NO_TENSOR; }, "src 1 is missing");
  expect_refused(matmul(), [](auto& l) { l.ops[0].src[2] = 0; }, "src 2 (0) is unused");
  expect_refused(matmul(), [](auto& l) { l.ops[0].i[0] = 1; }, "i[0] (1) is unused");
  expect_refused(matmul(), [](auto& l) { l.ops[0].f[3] = NAN; }, "f[3] (nan) is unused");
}

TEST(TensorCheck, RefusesMatmulsThatDoNotFit) {
  expect_refused(matmul(), [](auto& l) { l.tensors[0].ne[0] = 32; }, "cannot be multiplied");
  expect_refused(matmul(), [](auto& l) { l.tensors[0].ne[2] = 3; }, "cannot be multiplied");
  expect_refused(matmul(), [](auto& l) { l.tensors[2].ne[1] = 3; }, "the result has [8, 4, 2, 1]");
  expect_refused(matmul(), [](auto& l) { l.tensors[0].type = DW_TYPE_I32; }, "(i32, f32) -> f32");
  expect_refused(matmul(), [](auto& l) { l.tensors[1].type = DW_TYPE_F16; }, "(f32, f16) -> f32");
  expect_refused(matmul(), [](auto& l) { l.tensors[2].type = DW_TYPE_F16; }, "-> f16");
  expect_refused(
      matmul(),
      [](auto& l) {
        const Shape nb = {4, 64, 32, 256};
        std::copy(nb.begin(), nb.end(), l.tensors[2].nb);
      },
      "dst is permuted");
}

TEST(TensorCheck, RefusesResultsOverSources) {
  expect_refused(matmul(), [](auto& l) { l.tensors[2].data = 32768 + 2048 - 32; }, "overlaps src 1");
  expect_refused(matmul(), [](auto& l) { l.tensors[2].data = 0; }, "overlaps src 0");
  TensorList in_place = add();
  in_place.ops[0].dst = 0;
  EXPECT_TRUE(check(in_place));
  in_place.tensors[2].data = 0;
  in_place.ops[0].dst = 2;
  EXPECT_TRUE(check(in_place)) << "the same tensor by another index";
  in_place.tensors[2].data = 32;
  EXPECT_FALSE(check(in_place)) << "shifted by some elements";
}

TEST(TensorCheck, RefusesRopesThatGgmlWouldNotTake) {
  expect_refused(rope(), [](auto& l) { l.ops[0].i[0] = 63; }, "i[0] (63)");
  expect_refused(rope(), [](auto& l) { l.ops[0].i[0] = 66; }, "i[0] (66)");
  expect_refused(rope(), [](auto& l) { l.ops[0].i[0] = 0; }, "i[0] (0)");
  expect_refused(rope(), [](auto& l) { l.ops[0].i[0] = -2; }, "i[0] (-2)");
  expect_refused(rope(), [](auto& l) { l.tensors[0].ne[0] = 65; }, "of an even row");
  expect_refused(rope(), [](auto& l) { l.ops[0].i[1] = 1; }, "i[1] (1)");
  expect_refused(rope(), [](auto& l) { l.ops[0].f[0] = 0.0F; }, "f[0] (0)");
  expect_refused(rope(), [](auto& l) { l.ops[0].f[1] = NAN; }, "f[1] (nan)");
  expect_refused(rope(), [](auto& l) { l.tensors[1].ne[0] = 4; }, "one position for each");
  expect_refused(rope(), [](auto& l) { l.tensors[1].type = DW_TYPE_F32; }, "(f32, f32) -> f32");
}

TEST(TensorCheck, RefusesAttentionThatDoesNotFit) {
  expect_refused(attention(), [](auto& l) { l.tensors[1].ne[2] = 3; }, "do not fit");
  expect_refused(attention(), [](auto& l) { l.tensors[2].ne[1] = 6; }, "do not fit");
  expect_refused(attention(), [](auto& l) { l.tensors[0].ne[0] = 32; }, "do not fit");
  expect_refused(attention(), [](auto& l) { l.tensors[0].ne[3] = 2; }, "do not fit");
  expect_refused(attention(), [](auto& l) { l.tensors[2].type = DW_TYPE_F32; }, "(f32, f16, f32, f16)");
  expect_refused(attention(), [](auto& l) { l.tensors[3].ne[0] = 8; }, "the mask");
  expect_refused(attention(), [](auto& l) { l.tensors[3].ne[1] = 4; }, "the mask");
  expect_refused(attention(), [](auto& l) { l.tensors[3].ne[2] = 3; }, "the mask");
  expect_refused(attention(), [](auto& l) { l.tensors[3].type = DW_TYPE_F32; }, "f32) -> f32");
  expect_refused(attention(), [](auto& l) { std::swap(l.tensors[4].ne[1], l.tensors[4].ne[2]); }, "the result has");
  expect_refused(attention(), [](auto& l) { l.ops[0].f[1] = -1.0F; }, "f[1] (-1)");
  expect_refused(attention(), [](auto& l) { l.ops[0].src[2] = DW_NO_TENSOR; }, "src 2 is missing");
  expect_refused(
      attention(),
      [](auto& l) {
        const Shape nb = {4, 512, 2048, 10240};
        std::copy(nb.begin(), nb.end(), l.tensors[4].nb);
      },
      "dst is not contiguous");
}

TEST(TensorCheck, RefusesParametersThatAreNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  expect_refused(unary(DW_OP_RMS_NORM, {.f = {1e-5F}}), [](auto& l) { l.ops[0].f[0] = -1.0F; }, "f[0] (-1)");
  expect_refused(unary(DW_OP_RMS_NORM, {.f = {1e-5F}}), [](auto& l) { l.ops[0].f[0] = NAN; }, "f[0] (nan)");
  expect_refused(unary(DW_OP_SCALE, {.f = {2.0F, 1.0F}}), [=](auto& l) { l.ops[0].f[1] = infinity; }, "f[1] (inf)");
  expect_refused(unary(DW_OP_SOFT_MAX, {.f = {1.0F}}), [](auto& l) { l.ops[0].f[0] = NAN; }, "f[0] (nan)");
}

TEST(TensorCheck, RefusesShapesAndTypesOfElementwiseOps) {
  expect_refused(add(), [](auto& l) { l.tensors[1].ne[0] = 48; }, "cannot be repeated");
  expect_refused(add(), [](auto& l) { l.tensors[2].ne[1] = 9; }, "the result has");
  expect_refused(add(), [](auto& l) { l.tensors[1].type = DW_TYPE_F16; }, "(f32, f16)");
  expect_refused(unary(DW_OP_SILU), [](auto& l) { l.tensors[1].type = DW_TYPE_F16; }, "(f32) -> f16");
  expect_refused(unary(DW_OP_SCALE), [](auto& l) { l.tensors[0].type = DW_TYPE_F16; }, "(f16) -> f32");
  expect_refused(unary(DW_OP_CPY), [](auto& l) { l.tensors[1].type = DW_TYPE_I32; }, "(f32) -> i32");
  expect_refused(
      unary(DW_OP_SCALE),
      [](auto& l) {
        const Shape nb = {4, 512, 5120, 5120};
        std::copy(nb.begin(), nb.end(), l.tensors[0].nb);
      },
      "src 0 is not contiguous");
}

TEST(TensorCheck, RefusesAnOpThatWritesIndicesOfALaterOne) {
  TensorList list = get_rows();
  list.tensor(98304, DW_TYPE_I32, {3, 1, 1, 1});
  const dw_op gather = list.ops[0];
  list.ops.clear();
  list.op(DW_OP_CPY, 1, {3});
  list.ops.push_back(gather);
  const auto checked = check(list);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("Op 0 of dw_tensor_run writes the row indices that op 1"));
  std::swap(list.ops[0], list.ops[1]);
  EXPECT_TRUE(check(list)) << "written after they were read";
}

TEST(TensorCheck, HoldsOneCallToItsWork) {
  TensorList list;
  const std::size_t memory = std::size_t{4} << 30;
  list.tensor(0, DW_TYPE_F32, {4096, 4096, 1, 1});
  list.tensor(64U << 20, DW_TYPE_F32, {4096, 4096, 1, 1});
  list.tensor(128U << 20, DW_TYPE_F32, {4096, 4096, 1, 1});
  list.op(DW_OP_MATMUL, 2, {0, 1});
  ASSERT_FALSE(check(list, memory));
  EXPECT_EQ(check(list, memory).error().code, ErrorCode::unsupported);
  list.tensors[1].ne[1] = list.tensors[2].ne[1] = 2048;
  ASSERT_TRUE(check(list, memory));
  EXPECT_EQ(check(list, memory)->work, std::uint64_t{1} << 35);
}

TEST(TensorCheck, LooksAtRowIndicesAsTheyAreNow) {
  const auto program = check(get_rows());
  ASSERT_TRUE(program);
  std::vector<std::byte> bytes(kMemory);
  const GuestMemory memory(bytes.data(), bytes.size());
  const auto set = [&](std::int32_t index) { std::memcpy(bytes.data() + 32768 + 8, &index, sizeof(index)); };
  set(9);
  EXPECT_TRUE(check_indices(*program, memory));
  for (const std::int32_t wrong : {10, -1, INT32_MAX, INT32_MIN}) {
    set(wrong);
    const auto checked = check_indices(*program, memory);
    ASSERT_FALSE(checked);
    EXPECT_THAT(checked.error().message, HasSubstr("row index " + std::to_string(wrong) + " at [2, 0, 0]"));
  }
}

TEST(TensorRecordsOfAGuest, MustLieInMemoryAndBeNoMoreThanTheMost) {
  std::vector<std::byte> bytes(kMemory);
  const GuestMemory memory(bytes.data(), bytes.size());
  EXPECT_TRUE(read_tensor_records(memory, 0, DW_MAX_TENSORS, 262144, DW_MAX_OPS));
  EXPECT_FALSE(read_tensor_records(memory, 0, DW_MAX_TENSORS + 1, 0, 0));
  EXPECT_FALSE(read_tensor_records(memory, 0, 0, 0, DW_MAX_OPS + 1));
  EXPECT_FALSE(read_tensor_records(memory, 2, 1, 0, 0));
  EXPECT_FALSE(read_tensor_records(memory, 0, 0xffffffff, 0, 0));
  EXPECT_FALSE(read_tensor_records(memory, kMemory - 20, 1, 0, 0));
}

}  // namespace
}  // namespace driftwood
