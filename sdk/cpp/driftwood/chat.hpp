// A conversation with a model: messages, their tokens, and the Context that holds them.
//
// Each turn computes only what is new. The model's chat format writes out all messages; where this text begins with
// what the Context stands for already, only the rest is tokenized and computed. Where it does not (the format rewrites
// earlier messages, a stop string cut the answer), all of it is tokenized, and what the tokens have in common at the
// beginning is kept. One thread; everything lies in the guest's memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "driftwood/block.hpp"
#include "driftwood/context.hpp"
#include "driftwood/generate.hpp"
#include "driftwood/model.hpp"
#include "driftwood/result.hpp"
#include "driftwood/sampler.hpp"
#include "driftwood/stream.hpp"

namespace driftwood::guest {

struct AnswerOptions {
  SamplerOptions sampler;
  std::uint32_t max_tokens = 0;    ///< of one answer; 0: until the Context is full
  std::vector<std::string> stops;  ///< texts that end an answer and are no part of it
};

/// What to do when the messages no longer fit into the Context.
enum class WhenFull {
  stop,  ///< the turn ends with Finish::context_full
  /// Forget the oldest turns, never the system prompt, once an eighth of the Context is not left for the answer, until
  /// a quarter is; what stays is computed anew.
  drop_oldest,
};

struct ConversationOptions {
  ContextOptions context;
  std::string system;  ///< empty: none
  AnswerOptions answer;
  WhenFull when_full = WhenFull::stop;
};

struct Turn {
  std::string text;
  Finish finish = Finish::stop;
  std::uint32_t prompt_tokens = 0;  ///< computed before the first generated one
  std::uint32_t reused_tokens = 0;  ///< in the Context already
  std::uint32_t generated_tokens = 0;
};

class Conversation {
 public:
  static Result<Conversation> create(const Model& model, ConversationOptions options);

  /// Answers `text`. A turn without a word of answer because it was cancelled, failed, or did not fit is withdrawn: the
  /// conversation goes on as if it had not been asked.
  Result<Turn> say(std::string_view text, const TextSink& sink);

  /// As Context::reconcile: what was cut off from outside is computed anew by the next turn.
  Result<void> reconcile();
  /// Changes how answers are made; goes on with the conversation, with a new sampler.
  Result<void> set_answer_options(AnswerOptions options);
  /// Forgets all but the system prompt; the same seed begins anew.
  Result<void> reset();

  const Model& model() const noexcept { return model_; }
  const Context& context() const noexcept { return context_; }
  const std::vector<ChatMessage>& messages() const noexcept { return messages_; }
  std::span<const float> logits() const noexcept { return logits_.as<float>(); }

 private:
  /// What the next turn computes.
  struct Prompt {
    std::string rendered;       ///< the whole conversation in the model's format
    std::uint32_t reused = 0;   ///< tokens of the Context that stay
    std::vector<Token> tokens;  ///< to compute after them
  };

  Conversation(Model model, ConversationOptions options, Context context, Block logits, Sampler sampler);
  Result<Turn> answer(const TextSink& sink);
  Result<Prompt> make_prompt() const;
  bool fits(const Prompt& prompt, std::uint32_t room) const noexcept;
  bool drop_oldest_turn();
  Result<Prompt> make_prompt_that_fits();

  Model model_;
  ConversationOptions options_;
  Context context_;
  Block logits_;
  Sampler sampler_;
  TextStream stream_;
  std::vector<ChatMessage> messages_;
  std::string rendered_;        ///< what the Context and pending_ stand for; empty: not known
  std::vector<Token> pending_;  ///< generated, not yet in the Context
};

}  // namespace driftwood::guest
