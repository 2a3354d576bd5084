// Packed weights of a model that several processes open at once: all have the same, and its file stays as it was.
#include "llm/graph/packed_weights.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/hash.hpp"
#include "support/processes.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood {
namespace {

namespace fs = std::filesystem;

class PackedWeightsOfAFile : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("DRIFTWOOD_CACHE", (folder_.path() / "cache").c_str(), 1);
    testing::RandomModelOptions options = testing::representative_options("llama");
    options.n_embd = 128;
    options.head_dim = 32;
    options.type = GGML_TYPE_Q4_1;
    ASSERT_TRUE(testing::write_random_model(options, path_));
  }

  struct Opened {
    std::unique_ptr<Device> device;
    std::shared_ptr<const Model> model;
    std::unique_ptr<PackedWeights> weights;

    /// Of what the first layer's matrices are packed to.
    Hash hash() const {
      Hasher hasher;
      for (const char* name : {"attn_q.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"}) {
        const cpu::PackedMatrix* matrix = weights->find(model->layer_weight(0, name));
        if (matrix != nullptr) hasher.update(std::span(matrix->row_tile(0), matrix->bytes()));
      }
      return hasher.finish();
    }
  };
  Opened open(const fs::path& cache) const {
    Opened opened{.device = open_device("cpu", {.threads = 1}).value(), .model = nullptr, .weights = nullptr};
    opened.model = Model::open(path_, *opened.device).value();
    opened.weights = PackedWeights::create(*opened.model, UnpackedProducts::ggml, cache).value();
    return opened;
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "model.gguf";
  fs::path cache_ = folder_.path() / "packed";
};

TEST_F(PackedWeightsOfAFile, AreTheSameInAllProcessesThatPackAtOnceAndTheFileStaysAsItWas) {
  const Hash file_before = hash_file(path_).value();
  const auto written = fs::last_write_time(path_);
  fs::permissions(path_, fs::perms::owner_read);
  const testing::Processes processes(3, [&](const auto& meet) {
    const Hash wanted = open({}).hash();
    meet();
    const Opened own = open(cache_);
    if (own.weights->bytes() == 0 || own.hash() != wanted) return 1;
    meet();  // all have their weights mapped at the same time
    return own.hash() == wanted ? 0 : 2;
  });
  processes.await_all();
  processes.go_on();
  processes.await_all();
  EXPECT_EQ(std::distance(fs::directory_iterator(cache_), {}), 1);
  // Whose file is removed keeps what it has mapped.
  fs::remove_all(cache_);
  processes.go_on();
  processes.expect_all_went_well();

  EXPECT_EQ(hash_file(path_).value(), file_before);
  EXPECT_EQ(fs::last_write_time(path_), written);
}

TEST_F(PackedWeightsOfAFile, ThatAreMappedAreThoseThatWerePacked) {
  const Opened alone = open({});
  const Opened first = open(cache_);
  const Opened second = open(cache_);
  EXPECT_EQ(first.hash(), alone.hash());
  EXPECT_EQ(second.hash(), alone.hash());
  EXPECT_NE(alone.hash(), Hasher().finish()) << "there are packed matrices";
}

}  // namespace
}  // namespace driftwood
