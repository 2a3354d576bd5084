#include "chat_options.hpp"

#include <algorithm>
#include <random>

#include "command.hpp"

namespace driftwood::cli {

void ChatOptions::add_to(CLI::App* command) {
  command->add_option("-m,--model", model, "A model's name or the path of a GGUF file (default: smollm2)");
  command->add_option("--guest", guest, "A chat actor of your own instead of the built-in one: a Wasm file");
  command->add_option("--prompt", prompt, "Answer this and exit")->each([this](const std::string&) {
    one_prompt = true;
  });
  command->add_flag("--proof", proof,
                    "After each answer, show where guest, device and host see its memory, and what was copied");
  command->add_flag("--offline", offline, "Never fetch a model");
  command
      ->add_option("--resume", resume,
                   "Go on with a saved conversation: a snapshot's id, the beginning of one, or a label. Its settings "
                   "stay; options of an answer, if any is given, are set anew")
      ->type_name("SNAPSHOT");
  add_deterministic_option(command, determinism);
  conversation.add_to(command);
  runtime.add_to(command);
}

void ConversationOptions::add_to(CLI::App* command) {
  const std::string conversation = "Conversation";
  command->add_option("--system", settings.system, "System prompt")->group(conversation);
  command->add_option("--ctx", settings.n_ctx, "Tokens of the context (0: the model's own, at most 4096)")
      ->check(CLI::Range(0U, 1U << 20U))
      ->capture_default_str()
      ->group(conversation);
  command->add_option("--kv", settings.kv_type, "Type of the KV cache: f16, or q8_0 at about half the memory")
      ->check(CLI::IsMember({"f16", "q8_0"}))
      ->capture_default_str()
      ->group(conversation);
  sampling_options_.push_back(
      command->add_option("--max-tokens", settings.sampling.max_tokens, "Most tokens of an answer (0: no limit)")
          ->capture_default_str()
          ->group(conversation));
  sampling_options_.push_back(
      command->add_option("--stop", settings.sampling.stop, "End the answer before this text; repeatable")
          ->allow_extra_args(false)
          ->group(conversation));

  const std::string sampling = "Sampling";
  chat::Sampling& values = settings.sampling;
  const auto number = [&](const char* name, auto& value, const char* description, auto least, auto most) {
    sampling_options_.push_back(command->add_option(name, value, description)
                                    ->check(CLI::Range(least, most))
                                    ->capture_default_str()
                                    ->group(sampling));
  };
  number("--temperature", values.temperature, "0: always the likeliest token", 0.0, 100.0);
  number("--top-k", values.top_k, "Choose among this many likeliest tokens (0: all)", 0, 1 << 20);
  number("--top-p", values.top_p, "Choose among the likeliest that sum up to this (1: all)", 0.0, 1.0);
  number("--min-p", values.min_p, "Leave out what is less likely than this part of the likeliest (0: none)", 0.0, 1.0);
  number("--repeat-penalty", values.repetition_penalty, "Divide the logits of recent tokens by this (1: off)", 0.01,
         100.0);
  number("--presence-penalty", values.presence_penalty, "Subtract this from the logits of recent tokens", -100.0,
         100.0);
  sampling_options_.push_back(
      command->add_option("--seed", seed, "Seed of the random numbers (default: another one each time)")
          ->group(sampling));
}

bool ConversationOptions::sampling_given() const {
  return std::ranges::any_of(sampling_options_, [](const CLI::Option* option) { return option->count() > 0; });
}

chat::Settings ConversationOptions::settings_for(const std::string& model_name) const {
  chat::Settings complete = settings;
  complete.model = model_name;
  complete.sampling.seed = seed ? *seed : std::random_device()();
  return complete;
}

}  // namespace driftwood::cli
