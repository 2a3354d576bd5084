// embed CHAT.wasm MODEL.gguf FOLDER: a conversation that is forked, frozen, saved and taken up again.
#include <driftwood/driftwood.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <type_traits>

namespace {

template <typename T>
T need(driftwood::Result<T> result) {
  if (!result) {
    std::cerr << "embed: " << result.error().to_string() << '\n';
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

void say(const char* who, const driftwood::Actor& actor, const char* text) {
  std::cout << who << ": ";
  need(actor.ask(std::string("say\n\n") + text, [](std::string_view piece) { std::cout << piece << std::flush; }));
  std::cout << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "embed CHAT.wasm MODEL.gguf FOLDER\n", 2;
  auto runtime = need(driftwood::Runtime::create());
  need(runtime.add_model("model", argv[2]));
  const auto chat = need(runtime.load_program(argv[1]));
  const driftwood::ActorOptions grants{.name = "talker", .models = {"model"}};

  const auto actor = need(runtime.spawn(chat, grants));
  need(actor.ask("configure\nmodel model\nn_ctx 256\nmax_tokens 16\n\n"));
  say("actor", actor, "What is driftwood?");

  for (const auto& child : need(actor.fork(2))) say("child", child, "Where does it come from?");

  auto store = need(driftwood::Store::open({.folder = argv[3]}));
  const auto id = need(actor.save(store, "after-one-answer"));
  need(actor.kill());
  const auto again = need(runtime.thaw(chat, need(store.load(id)), grants));
  say("again", again, "Where does it come from?");
}
