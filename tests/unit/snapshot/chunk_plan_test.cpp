#include "snapshot/chunk_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "samples.hpp"

namespace driftwood {
namespace {

using testing::hash_of;

bool all_usable(const FileReference&) { return true; }

/// Snapshots of one memory, each planned over the one before, and what lies in each slot of each file.
class Chain {
 public:
  explicit Chain(std::uint32_t chunks) : contents_(chunks, 0) {}

  void write(std::uint32_t chunk, int content) { contents_[chunk] = content; }

  /// Plans the next snapshot, checks that it reads as the memory is, and gives what its file writes.
  std::size_t save(const std::function<bool(const FileReference&)>& usable = all_usable) {
    Saved& saved = chain_.emplace_back();
    saved.index = ChunkIndex(static_cast<std::uint32_t>(contents_.size()));
    for (std::uint32_t chunk = 0; chunk < contents_.size(); ++chunk) {
      if (contents_[chunk] != 0) saved.index.add(chunk, hash_of(std::to_string(contents_[chunk])));
    }
    saved.file = {hash_of("root" + std::to_string(chain_.size())), hash_of("header" + std::to_string(chain_.size()))};
    if (chain_.size() == 1) {
      saved.layout = plan_layout(saved.index, nullptr, usable);
    } else {
      const Saved& before = chain_[chain_.size() - 2];
      const PlanBase base{before.file, before.index, before.layout};
      saved.layout = plan_layout(saved.index, &base, usable);
    }
    const auto sound = check_layout(saved.layout, saved.index, saved.layout.own_slots());
    EXPECT_TRUE(sound) << sound.error().message;
    std::size_t written = 0;
    for (const ChunkRun& run : saved.layout.runs) {
      for (std::uint32_t i = 0; i < run.count; ++i) {
        if (run.file == kOwnFile) {
          saved.slots.push_back(contents_[run.chunk + i]);
          written += contents_[run.chunk + i] != 0;
        }
      }
    }
    for (const ChunkRun& run : saved.layout.runs) {
      for (std::uint32_t i = 0; i < run.count; ++i) {
        EXPECT_EQ(slot(saved, run.file, run.slot + i), contents_[run.chunk + i]) << "chunk " << run.chunk + i;
      }
    }
    return written;
  }

  const ChunkLayout& layout() const { return chain_.back().layout; }
  const FileReference& file() const { return chain_.back().file; }

 private:
  struct Saved {
    FileReference file;
    ChunkIndex index;
    ChunkLayout layout;
    std::vector<int> slots;
  };
  int slot(const Saved& saved, std::uint32_t file, std::uint32_t slot) const {
    if (file == kOwnFile) return saved.slots.at(slot);
    return std::ranges::find(chain_, saved.layout.files.at(file - 1), &Saved::file)->slots.at(slot);
  }

  std::vector<int> contents_;
  std::deque<Saved> chain_;
};

TEST(ChunkPlan, WritesOnlyWhatChanged) {
  Chain chain(1500);
  for (std::uint32_t i = 0; i < 1000; ++i) chain.write(i, 1 + static_cast<int>(i));
  EXPECT_EQ(chain.save(), 1000u);
  EXPECT_EQ(chain.layout().runs.size(), 1u);
  for (std::uint32_t i = 1000; i < 1036; ++i) chain.write(i, 1 + static_cast<int>(i));
  chain.write(3, 5000);
  EXPECT_EQ(chain.save(), 37u);
  EXPECT_EQ(chain.layout().runs.size(), 4u);
  EXPECT_EQ(chain.save(), 0u);
}

TEST(ChunkPlan, FindsAChunkThatMovedNoWhere) {
  Chain chain(10);
  for (std::uint32_t i = 0; i < 10; ++i) chain.write(i, 7);
  EXPECT_EQ(chain.save(), 10u);
  chain.write(4, 0);
  EXPECT_EQ(chain.save(), 0u);
  chain.write(4, 7);
  EXPECT_EQ(chain.save(), 1u) << "the parent has zeros there";
}

TEST(ChunkPlan, WritesAgainWhatIsNotUsable) {
  Chain chain(100);
  for (std::uint32_t i = 0; i < 100; ++i) chain.write(i, 1);
  chain.save();
  const FileReference first = chain.file();
  chain.write(5, 2);
  chain.save();
  EXPECT_EQ(chain.save([&](const FileReference& file) { return file != first; }), 99u);
}

TEST(ChunkPlan, BoundsTheFilesOfALongChain) {
  Chain chain(20'000);
  for (std::uint32_t i = 0; i < 1000; ++i) chain.write(i, 1);
  chain.save();
  std::size_t written = 0;
  for (std::uint32_t turn = 0; turn < 400; ++turn) {
    for (std::uint32_t i = 0; i < 37; ++i) chain.write(1000 + 37 * turn + i, 1);
    for (std::uint32_t i = 0; i < 10; ++i) chain.write(100 * i, 2 + static_cast<int>(turn));
    written += chain.save();
    ASSERT_LE(chain.layout().files.size(), PlanLimits{}.most_files);
  }
  EXPECT_LT(written, 3.5 * 400 * 47) << "each byte is written again a few times";
}

TEST(ChunkPlan, BoundsTheRunsOfScatteredChunks) {
  Chain chain(8000);
  for (std::uint32_t i = 0; i < 8000; i += 2) chain.write(i, 1);
  EXPECT_EQ(chain.save(), 4000u);
  EXPECT_EQ(chain.layout().runs.size(), 1u) << "the zeros between are holes";
  for (std::uint32_t i = 0; i < 8000; i += 20) chain.write(i, 2);
  chain.save();
  EXPECT_LE(chain.layout().runs.size(), PlanLimits{}.most_runs);
}

TEST(ChunkPlan, ReadsBackWhateverWasChanged) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::minstd_rand random(seed);
    Chain chain(600);
    for (int turn = 0; turn < 60; ++turn) {
      for (std::size_t i = random() % 40; i > 0; --i) {
        chain.write(static_cast<std::uint32_t>(random() % 600), static_cast<int>(random() % 3));
      }
      chain.save();
    }
  }
}

}  // namespace
}  // namespace driftwood
