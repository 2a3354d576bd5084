#include "driftwood/chat.hpp"

#include <algorithm>
#include <utility>

namespace driftwood::guest {
namespace {

std::vector<ChatMessage> first_messages(const std::string& system) {
  if (system.empty()) return {};
  return {{"system", system}};
}

}  // namespace

Result<Conversation> Conversation::create(const Model& model, ConversationOptions options) {
  DW_TRY_ASSIGN(Sampler sampler, Sampler::create(options.answer.sampler, model.n_vocab()));
  DW_TRY_ASSIGN(Block logits, allocate_logits(model));
  DW_TRY_ASSIGN(Context context, Context::create(model, options.context));
  return Conversation(model, std::move(options), std::move(context), std::move(logits), std::move(sampler));
}

Conversation::Conversation(Model model, ConversationOptions options, Context context, Block logits, Sampler sampler)
    : model_(std::move(model)),
      options_(std::move(options)),
      context_(std::move(context)),
      logits_(std::move(logits)),
      sampler_(std::move(sampler)),
      stream_(options_.answer.stops),
      messages_(first_messages(options_.system)) {}

Result<void> Conversation::set_answer_options(AnswerOptions options) {
  DW_TRY_ASSIGN(sampler_, Sampler::create(options.sampler, model_.n_vocab()));
  stream_ = TextStream(options.stops);
  options_.answer = std::move(options);
  return {};
}

Result<void> Conversation::reset() {
  DW_TRY(context_.truncate(0));
  messages_ = first_messages(options_.system);
  rendered_.clear();
  pending_.clear();
  sampler_.reset();
  return {};
}

Result<void> Conversation::reconcile() {
  DW_TRY_ASSIGN(const bool shortened, context_.reconcile());
  if (shortened) {
    rendered_.clear();
    pending_.clear();
  }
  return {};
}

Result<Turn> Conversation::say(std::string_view text, const TextSink& sink) {
  DW_TRY(reconcile());
  messages_.push_back({"user", std::string(text)});
  Result<Turn> turn = answer(sink);
  const bool kept = turn && (turn->finish == Finish::stop || !turn->text.empty());
  if (kept) {
    // A model may say a zero byte, but no chat format takes one.
    std::string said = turn->text;
    std::erase(said, '\0');
    messages_.push_back({"assistant", std::move(said)});
  } else {
    // The Context may hold some of it: the next prompt keeps what its tokens have in common with it.
    messages_.pop_back();
    rendered_.clear();
    pending_.clear();
  }
  return turn;
}

Result<Turn> Conversation::answer(const TextSink& sink) {
  DW_TRY_ASSIGN(Prompt prompt, make_prompt_that_fits());
  Turn turn;
  if (!fits(prompt, 0)) {
    turn.finish = Finish::context_full;
    return turn;
  }
  DW_TRY(context_.truncate(prompt.reused));
  turn.reused_tokens = prompt.reused;

  const GenerationParts parts = {model_, context_, sampler_, stream_, logits_.as<float>()};
  DW_TRY_ASSIGN(Generation generation, generate(parts, prompt.tokens, options_.answer.max_tokens, sink));
  if (context_.n_tokens() > prompt.reused) turn.prompt_tokens = static_cast<std::uint32_t>(prompt.tokens.size());
  turn.finish = generation.finish;
  turn.generated_tokens = generation.n_tokens;
  turn.text = std::move(generation.text);

  pending_.clear();
  rendered_.clear();
  if (!generation.stop_string) {
    rendered_ = std::move(prompt.rendered) + turn.text;
    if (generation.last >= 0) pending_.push_back(generation.last);
  }
  return turn;
}

Result<Conversation::Prompt> Conversation::make_prompt() const {
  Prompt prompt;
  DW_TRY_ASSIGN(prompt.rendered, model_.chat_template(messages_, true));
  if (!rendered_.empty() && prompt.rendered.size() > rendered_.size() && prompt.rendered.starts_with(rendered_)) {
    const std::string_view rest = std::string_view(prompt.rendered).substr(rendered_.size());
    DW_TRY_ASSIGN(prompt.tokens, model_.tokenize(rest, DW_TOKENIZE_PARSE));
    prompt.tokens.insert(prompt.tokens.begin(), pending_.begin(), pending_.end());
    prompt.reused = context_.n_tokens();
    return prompt;
  }
  DW_TRY_ASSIGN(prompt.tokens, model_.tokenize(prompt.rendered, DW_TOKENIZE_SPECIAL | DW_TOKENIZE_PARSE));
  if (prompt.tokens.empty()) return fail(DW_E_UNSUPPORTED, "The model's chat format gives no tokens.");
  const std::span<const Token> held = context_.tokens();
  // The last token is computed anyway, for its logits.
  const std::size_t most = std::min(held.size(), prompt.tokens.size() - 1);
  const auto different =
      std::mismatch(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(most), prompt.tokens.begin());
  prompt.reused = static_cast<std::uint32_t>(different.first - held.begin());
  prompt.tokens.erase(prompt.tokens.begin(), different.second);
  return prompt;
}

bool Conversation::fits(const Prompt& prompt, std::uint32_t room) const noexcept {
  return prompt.reused + prompt.tokens.size() + room <= context_.n_ctx();
}

/// Forgets the oldest user message and its answer; false if only the newest message is left.
bool Conversation::drop_oldest_turn() {
  const auto first = messages_.begin() + (options_.system.empty() ? 0 : 1);
  if (messages_.end() - first < 3) return false;
  messages_.erase(first, first + 2);
  rendered_.clear();
  pending_.clear();
  return true;
}

Result<Conversation::Prompt> Conversation::make_prompt_that_fits() {
  DW_TRY_ASSIGN(Prompt prompt, make_prompt());
  // An answer needs room too.
  if (options_.when_full == WhenFull::stop || fits(prompt, context_.n_ctx() / 8)) return prompt;
  // Makes more room than that at once, so that not every turn has to compute everything anew.
  while (!fits(prompt, context_.n_ctx() / 4) && drop_oldest_turn()) {
    DW_TRY_ASSIGN(prompt, make_prompt());
  }
  return prompt;
}

}  // namespace driftwood::guest
