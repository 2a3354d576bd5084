// A small model on devices that mirror guest memory, or that read it where it lies.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "device/mirror/mirror_cache.hpp"
#include "device/null/null_device.hpp"
#include "memory/page_watch.hpp"
#include "support/sequence.hpp"
#include "support/temporary_folder.hpp"
#include "tools/random_model.hpp"

namespace driftwood::testing {

class MirroredModel : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kCtx = 400;

  struct OnDevice {
    std::shared_ptr<NullDeviceControl> control;
    std::unique_ptr<Device> device;
    std::shared_ptr<const Model> model;

    MirrorUse use() const { return device->mirrors()->use(); }
  };

  void SetUp() override {
    if (const auto watch = PageWatch::create(); !watch) GTEST_SKIP() << watch.error().to_string();
    RandomModelOptions options = representative_options("llama");
    options.n_embd = 128;
    options.head_dim = 64;
    options.block_biases = false;  // which no decoder knows
    ASSERT_TRUE(write_random_model(options, path_));
    tokens_ = random_tokens(2 * kCtx, options.n_vocab);
  }

  /// The device has no kernels on the host, and its mirrors room for so many chunks; 0: it has none.
  OnDevice open_model_on(std::size_t chunks, bool decoder) const {
    OnDevice on;
    on.control = std::make_shared<NullDeviceControl>(
        NullDeviceOptions{.host_kernels = false, .mirror_chunks = chunks, .decoder = decoder});
    on.device = value_of(create_null_device(on.control));
    on.model = open_model(path_, *on.device);
    return on;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.gguf";
  std::vector<Token> tokens_;
};

}  // namespace driftwood::testing
