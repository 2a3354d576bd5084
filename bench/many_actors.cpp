#include "many_actors.hpp"

#include <fmt/format.h>

#include <cstring>
#include <future>
#include <string>
#include <utility>

#include "guests.hpp"
#include "guests/many.h"
#include "input.hpp"

namespace driftwood::bench {
namespace {

constexpr const char* kModel = "bench";

std::string text_of(const Order& order) {
  std::vector<std::int32_t> words = {order.verb, order.argument};
  words.insert(words.end(), order.tokens.begin(), order.tokens.end());
  return {reinterpret_cast<const char*>(words.data()), words.size() * sizeof(std::int32_t)};
}

Result<Token> token_of(const std::string& reply) {
  std::int32_t token = 0;
  if (reply.size() != sizeof(token)) {
    return fail(ErrorCode::internal, fmt::format("The guest answered with {} bytes.", reply.size()));
  }
  std::memcpy(&token, reply.data(), sizeof(token));
  return token;
}

}  // namespace

Result<std::unique_ptr<ManyActors>> ManyActors::create(const std::filesystem::path& model, int threads,
                                                       NodeOptions node) {
  std::unique_ptr<ManyActors> self(new ManyActors());
  DW_TRY_ASSIGN(self->engine_, Engine::create());
  DW_TRY_ASSIGN(self->device_, open_device("cpu", {.threads = threads}));
  self->models_ =
      std::make_unique<ModelPool>(*self->device_, ModelPoolOptions{.packed_cache = packed_weights_folder()});
  DW_TRY(self->models_->add(kModel, model));
  DW_TRY_ASSIGN(self->forward_, self->models_->open(kModel));
  DW_TRY_ASSIGN(self->program_, Program::compile(*self->engine_, many_guest()));
  DW_TRY_ASSIGN(self->node_, Node::create(std::move(node)));
  return self;
}

Result<ActorId> ManyActors::spawn(std::uint32_t n_ctx) {
  ActorOptions options;
  options.name = "many";
  options.program_name = "many.wasm";
  options.host.device = device_.get();
  options.host.models = models_.get();
  options.host.grants.models = {kModel};
  DW_TRY_ASSIGN(const ActorId actor, node_->spawn(program_, std::move(options)));
  DW_TRY(ask(actor, {.verb = MANY_PREPARE, .argument = static_cast<std::int32_t>(n_ctx)}));
  return actor;
}

Result<Token> ManyActors::ask(ActorId actor, const Order& order, const OnToken& on_token) {
  DW_TRY_ASSIGN(const All all, ask_all({&actor, 1}, {&order, 1}, on_token));
  return all.tokens.front();
}

Result<void> ManyActors::ask_while(ActorId actor, const Order& order, const OnToken& on_token,
                                   const std::function<void()>& until) {
  std::promise<void> begun;
  std::promise<Result<std::string>> ended;
  bool waited_for = true;  // a message's handlers are called one after another
  const auto begin = [&] {
    if (std::exchange(waited_for, false)) begun.set_value();
  };
  MessageHandlers handlers;
  handlers.emit = [&](std::string_view) {
    on_token(0);
    begin();
  };
  handlers.done = [&](Result<std::string> text) {
    begin();
    ended.set_value(std::move(text));
  };
  DW_TRY_ASSIGN(const MessageId message, node_->post(actor, text_of(order), std::move(handlers)));
  begun.get_future().wait();
  until();
  DW_TRY(node_->cancel(actor, message));
  const auto end = ended.get_future().get();
  if (end) return fail(ErrorCode::internal, "What was to go on until it was ended came to an end by itself.");
  if (end.error().code != ErrorCode::cancelled) return std::unexpected(end.error());
  return {};
}

Result<ManyActors::All> ManyActors::ask_all(std::span<const ActorId> actors, std::span<const Order> orders,
                                            const OnToken& on_token) {
  std::vector<std::promise<Result<std::string>>> replies(actors.size());
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < actors.size(); ++i) {
    MessageHandlers handlers;
    if (on_token) handlers.emit = [&on_token, i](std::string_view) { on_token(i); };
    handlers.done = [&reply = replies[i]](Result<std::string> text) { reply.set_value(std::move(text)); };
    auto posted = node_->post(actors[i], text_of(orders[orders.size() == 1 ? 0 : i]), std::move(handlers));
    // Those that were posted use what lies here.
    if (!posted) replies[i].set_value(std::unexpected(std::move(posted).error()));
  }
  std::vector<Result<std::string>> texts;
  for (auto& reply : replies) texts.push_back(reply.get_future().get());
  All all;
  all.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& text : texts) {
    if (!text) return std::unexpected(text.error());
    DW_TRY_ASSIGN(const Token token, token_of(*text));
    all.tokens.push_back(token);
  }
  return all;
}

}  // namespace driftwood::bench
