// The forward pass over memory that was frozen, thawed or forked: the same bytes as over memory that never was.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

using namespace driftwood::testing;

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) { return std::ranges::equal(a, b); }

class ForwardOverImage : public ::testing::TestWithParam<KvType> {
 protected:
  static constexpr std::uint32_t kCtx = 400;

  void SetUp() override {
    const auto path = folder_.path() / "model.gguf";
    RandomModelOptions options = representative_options("llama");
    options.n_embd = 128;
    options.head_dim = 32;
    options.type = GGML_TYPE_Q8_0;
    ASSERT_TRUE(write_random_model(options, path));
    device_ = value_of(open_device("cpu", {.threads = 1}));
    model_ = open_model(path, *device_);
    forward_ = value_of(Forward::create(model_));
    tokens_ = random_tokens(kCtx, options.n_vocab);
  }

  Sequence make_sequence() const { return {*model_, kCtx, GetParam()}; }
  std::span<const Token> tokens(std::size_t first, std::size_t n) const { return std::span(tokens_).subspan(first, n); }
  std::vector<float> run(Sequence& sequence, std::size_t first, std::size_t n) {
    return copy(sequence.run(*forward_, tokens(first, n)));
  }

  TemporaryFolder folder_;
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Forward> forward_;
  std::vector<Token> tokens_;
};

TEST_P(ForwardOverImage, FreezingAfterEveryPassChangesNoBit) {
  Sequence plain = make_sequence();
  Sequence frozen = make_sequence();
  std::size_t done = 0;
  for (const std::size_t n : {100, 1, 1, 37, 1, 64, 1, 1, 150, 1}) {
    ASSERT_EQ(run(plain, done, n), run(frozen, done, n)) << "after " << done;
    done += n;
    frozen.freeze(*model_);
    const auto used = static_cast<std::uint32_t>(done);
    ASSERT_TRUE(same_bytes(plain.used(used), frozen.used(used))) << "after " << done;
  }
}

TEST_P(ForwardOverImage, ForksGoOnAsFreshRunsDo) {
  Sequence parent = make_sequence();
  run(parent, 0, 200);
  const auto image = parent.freeze(*model_);
  for (const std::size_t skip : {0, 20, 40}) {
    Sequence child(*model_, parent, image);
    Sequence fresh = make_sequence();
    run(fresh, 0, 200);
    for (const std::size_t n : {1, 30, 1}) {
      ASSERT_EQ(run(child, 200 + skip, n), run(fresh, 200 + skip, n));
    }
    ASSERT_TRUE(same_bytes(child.used(232), fresh.used(232)));
  }
}

TEST_P(ForwardOverImage, RowsThatTheGuestChangesAreReadAsTheyAreNow) {
  Sequence plain = make_sequence();
  run(plain, 0, 200);
  Sequence parent = make_sequence();
  run(parent, 0, 200);
  Sequence child(*model_, parent, parent.freeze(*model_));
  const std::vector<float> before = run(parent, 200, 1);
  for (Sequence* sequence : {&plain, &child}) {
    // A middle token's rows, so that clean records lie on both sides.
    const std::span<std::byte> bytes = sequence->used(200);
    const std::size_t stride = sequence->layout().token_stride;
    std::ranges::copy(bytes.subspan(sequence->layout().kv_offset, stride),
                      bytes.begin() + static_cast<std::ptrdiff_t>(sequence->layout().kv_offset + 100 * stride));
  }
  const std::vector<float> changed = run(child, 200, 1);
  EXPECT_EQ(changed, run(plain, 200, 1));
  EXPECT_NE(changed, before) << "the change is too small to be seen";
}

INSTANTIATE_TEST_SUITE_P(KvTypes, ForwardOverImage, ::testing::Values(KvType::f16, KvType::q8_0),
                         [](const auto& type) { return type.param == KvType::f16 ? "f16" : "q8_0"; });

}  // namespace
}  // namespace driftwood
