#include <cstring>

#include <chrono>
#include <thread>

#include "forward.hpp"
#include "guest.hpp"
#include "guests.hpp"
#include "llm/model_pool.hpp"

namespace driftwood::bench {
namespace {

constexpr const char* kModel = "bench";

/// Longer than an idle pool of a Device spins before it sleeps.
constexpr std::chrono::milliseconds kUntilAsleep{20};

std::int32_t number(std::uint32_t value) { return static_cast<std::int32_t>(value); }

class DriftwoodContender final : public Contender {
 public:
  static Result<std::unique_ptr<Contender>> create(const ForwardSetup& setup) {
    std::unique_ptr<DriftwoodContender> made(new DriftwoodContender());
    DW_TRY_ASSIGN(made->engine_, Engine::create());
    DW_TRY_ASSIGN(made->device_, open_device("cpu", {.threads = setup.threads}));
    made->models_ = std::make_unique<ModelPool>(
        *made->device_, ModelPoolOptions{.strict = setup.strict, .packed_cache = setup.packed_cache});
    DW_TRY(made->models_->add(kModel, setup.model));
    GuestHostOptions host;
    host.device = made->device_.get();
    host.models = made->models_.get();
    host.grants.models.insert(kModel);
    DW_TRY_ASSIGN(made->guest_, Guest::spawn(*made->engine_, forward_guest(), std::move(host)));
    DW_TRY(made->call("prepare", {{number(setup.n_ctx)}}));
    const std::span<const Token> tokens = setup.tokens;
    DW_TRY_ASSIGN(const std::size_t place, made->guest_->address("tokens_address", tokens.size_bytes()));
    std::memcpy(made->guest_->memory().data() + place, tokens.data(), tokens.size_bytes());
    DW_TRY(made->find_logits());
    return made;
  }

  Result<void> prefill(std::uint32_t n) override { return call("prefill", {{number(n)}}); }
  Result<void> decode(std::uint32_t first, std::uint32_t n) override {
    return call("decode", {{number(first), number(n)}});
  }
  Result<void> rewind(std::uint32_t n) override { return call("rewind", {{number(n)}}); }
  void rest() override { std::this_thread::sleep_for(kUntilAsleep); }

  Result<void> append(Token token) override { return call("append", {{token}}); }
  std::span<const float> logits() const noexcept override { return logits_; }

 private:
  DriftwoodContender() : Contender("driftwood") {}

  Result<void> call(std::string_view name, std::span<const std::int32_t> arguments) {
    DW_TRY(guest_->call(name, arguments));
    return {};
  }

  Result<void> find_logits() {
    DW_TRY_ASSIGN(const std::int32_t n_vocab, guest_->call("vocabulary"));
    const auto count = static_cast<std::size_t>(n_vocab);
    DW_TRY_ASSIGN(const std::size_t place, guest_->address("logits_address", count * sizeof(float)));
    logits_ = {reinterpret_cast<const float*>(guest_->memory().data() + place), count};
    return {};
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelPool> models_;
  std::unique_ptr<Guest> guest_;
  std::span<const float> logits_;  ///< in the guest's memory
};

}  // namespace

Result<std::unique_ptr<Contender>> make_driftwood(const ForwardSetup& setup) {
  return DriftwoodContender::create(setup);
}

}  // namespace driftwood::bench
