// A node with actors of tests/guests/peer.c, for its tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "actor/node.hpp"
#include "device/device.hpp"
#include "support/value_of.hpp"
#include "wasm/engine.hpp"

namespace driftwood::testing {

/// A place that a handler waits at until the test lets it pass.
class Gate {
 public:
  /// For handlers.
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  /// Waits until `n` have arrived; false when they don't come for a long time.
  bool arrived(int n = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return arrived_ >= n; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

/// What the `done` of some messages were given, in the order in which they were called. Any thread.
class Replies {
 public:
  MessageHandlers handler(std::string name = {}) {
    return {.emit = {}, .done = [this, name](Result<std::string> reply) {
              const std::lock_guard lock(mutex_);
              names_.push_back(name);
              all_.push_back(std::move(reply));
            }};
  }
  std::vector<Result<std::string>> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    return names_;
  }
  std::size_t count(ErrorCode code) const {
    std::size_t n = 0;
    for (const auto& reply : all()) n += !reply && reply.error().code == code;
    return n;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> names_;
  std::vector<Result<std::string>> all_;
};

class NodeTest : public ::testing::Test {
 protected:
  void make(NodeOptions options = {}) { node_ = value_of(Node::create(std::move(options))); }

  std::shared_ptr<const Program> program(const char* wasm) {
    auto& loaded = programs_[wasm];
    if (loaded == nullptr) loaded = value_of(Program::load(*engine_, wasm));
    return loaded;
  }
  ActorOptions options(Grants grants = {}) {
    ActorOptions options;
    options.host.device = device_.get();
    options.host.grants = std::move(grants);
    return options;
  }
  ActorId spawn(ActorOptions options, const char* wasm = DW_TEST_PEER) {
    return value_of(node_->spawn(program(wasm), std::move(options)));
  }
  ActorId spawn() { return spawn(options()); }

  MessageId post(ActorId id, std::string message, MessageHandlers handlers = {}) {
    return value_of(node_->post(id, std::move(message), std::move(handlers)));
  }
  std::string ask(ActorId id, std::string message) { return value_of(node_->ask(id, std::move(message))); }
  ActorState state(ActorId id) { return value_of(node_->status(id)).state; }

  /// Has an actor's worker wait at the gate.
  void hold(ActorId id, Gate& gate) {
    post(id, "emit", {.emit = [&gate](std::string_view) { gate.pass(); }, .done = {}});
    ASSERT_TRUE(gate.arrived());
  }

  std::unique_ptr<Device> device_ = value_of(open_device("null"));
  std::unique_ptr<Engine> engine_ = value_of(Engine::create({.cache = std::nullopt}));
  std::map<std::string, std::shared_ptr<const Program>> programs_;
  std::unique_ptr<Node> node_;
};

}  // namespace driftwood::testing
