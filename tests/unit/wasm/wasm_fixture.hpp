// An engine without a cache, and shortcuts from WebAssembly text to a running guest.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wasm/engine.hpp"
#include "wasm/instance.hpp"
#include "wasm/module/declarations.hpp"
#include "wasm/program.hpp"

namespace driftwood {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

class WasmTest : public ::testing::Test {
 protected:
  WasmTest() : engine_(Engine::create().value()) {}

  std::shared_ptr<const Program> compile(std::string_view wat, const ProgramOptions& options = {}) {
    auto program = Program::compile(*engine_, bytes_of(wat), options);
    EXPECT_TRUE(program.has_value()) << program.error().to_string();
    return std::move(program).value();
  }

  Result<std::unique_ptr<Instance>> spawn(std::string_view wat, const InstanceOptions& options = {}) {
    return Instance::create(compile(wat), options);
  }

  std::unique_ptr<Engine> engine_;
};

}  // namespace driftwood
