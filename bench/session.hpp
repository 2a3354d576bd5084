// Actors of the guest session.c, and what they need. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "actor/actor.hpp"
#include "core/error.hpp"
#include "device/device.hpp"
#include "guests.hpp"
#include "llm/model_pool.hpp"
#include "model/tokenizer.hpp"

namespace driftwood::bench {

/// Engine, device, model and program; outlives the Sessions.
class SessionHost {
 public:
  static Result<std::unique_ptr<SessionHost>> create(const std::filesystem::path& model, int threads) {
    return create(model, "cpu", {.threads = threads}, session_guest());
  }
  /// On any device, with a guest that speaks as session.h says.
  static Result<std::unique_ptr<SessionHost>> create(const std::filesystem::path& model, std::string_view device,
                                                     const DeviceOptions& options, std::span<const std::byte> guest);

  const std::shared_ptr<const Program>& program() const noexcept { return program_; }
  ActorOptions options() const;
  Device& device() noexcept { return *device_; }
  /// The model's passes, which all Sessions share.
  Result<std::shared_ptr<Forward>> forward() { return models_->open(kModel); }
  static constexpr const char* kModel = "bench";

 private:
  SessionHost() = default;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelPool> models_;
  std::shared_ptr<const Program> program_;
};

/// An actor that continues a text.
class Session {
 public:
  static Result<std::unique_ptr<Session>> start(SessionHost& host, std::uint32_t n_ctx);
  static Result<std::unique_ptr<Session>> thaw(SessionHost& host, const Snapshot& snapshot);
  explicit Session(std::unique_ptr<Actor> actor) : actor_(std::move(actor)) {}

  Actor& actor() noexcept { return *actor_; }
  /// Each gives the token that follows.
  Result<Token> ping();
  Result<Token> append(std::span<const Token> tokens);
  Result<Token> generate(std::uint32_t count);
  Result<void> rewind(std::uint32_t n);
  /// Where the guest's Context and its logits lie in its memory; the logits have `n_vocab` numbers.
  Result<ByteRange> context();
  Result<ByteRange> logits(std::uint32_t n_vocab);

 private:
  Result<std::int32_t> send(std::int32_t verb, std::int32_t argument, std::span<const Token> tokens = {});
  std::unique_ptr<Actor> actor_;
};

}  // namespace driftwood::bench
