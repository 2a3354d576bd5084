#include "forward.hpp"
#include "peer_llama.hpp"

namespace driftwood::bench {
namespace {

class LibllamaContender final : public Contender {
 public:
  LibllamaContender(std::string name, std::vector<Token> tokens, std::unique_ptr<PeerContext> context)
      : Contender(std::move(name)), tokens_(std::move(tokens)), context_(std::move(context)) {}

  Result<void> prefill(std::uint32_t n) override {
    DW_TRY_ASSIGN(logits_, context_->forward(std::span(tokens_).first(n)));
    return {};
  }
  Result<void> decode(std::uint32_t first, std::uint32_t n) override {
    for (const Token& token : std::span(tokens_).subspan(first, n)) {
      DW_TRY_ASSIGN(logits_, context_->forward({&token, 1}));
    }
    return {};
  }
  Result<void> rewind(std::uint32_t n) override { return context_->rewind(n); }

  Result<void> append(Token token) override {
    DW_TRY_ASSIGN(logits_, context_->forward({&token, 1}));
    return {};
  }
  std::span<const float> logits() const noexcept override { return logits_; }
  void wake() override { context_->resume(); }
  void rest() override { context_->pause(); }

 private:
  std::vector<Token> tokens_;
  std::unique_ptr<PeerContext> context_;
  std::span<const float> logits_;  ///< of the last token
};

}  // namespace

Result<std::vector<std::unique_ptr<Contender>>> make_libllama(const ForwardSetup& setup) {
  DW_TRY_ASSIGN(const auto model, PeerModel::load(setup.model));
  std::vector<std::unique_ptr<Contender>> contenders;
  for (const bool flash : {true, false}) {
    DW_TRY_ASSIGN(auto context, PeerContext::create(
                                    model, {.n_ctx = setup.n_ctx, .threads = setup.threads, .flash_attention = flash}));
    context->pause();
    contenders.push_back(std::make_unique<LibllamaContender>(flash ? "libllama_flash_on" : "libllama_flash_off",
                                                             setup.tokens, std::move(context)));
  }
  return contenders;
}

}  // namespace driftwood::bench
