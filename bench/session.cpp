#include "session.hpp"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "guests.hpp"
#include "guests/session.h"
#include "input.hpp"

namespace driftwood::bench {
Result<std::unique_ptr<SessionHost>> SessionHost::create(const std::filesystem::path& model, std::string_view device,
                                                         const DeviceOptions& options,
                                                         std::span<const std::byte> guest) {
  std::unique_ptr<SessionHost> host(new SessionHost());
  DW_TRY_ASSIGN(host->engine_, Engine::create());
  DW_TRY_ASSIGN(host->device_, open_device(device, options));
  host->models_ =
      std::make_unique<ModelPool>(*host->device_, ModelPoolOptions{.packed_cache = packed_weights_folder()});
  DW_TRY(host->models_->add(kModel, model));
  DW_TRY_ASSIGN(host->program_, Program::compile(*host->engine_, guest));
  return host;
}

ActorOptions SessionHost::options() const {
  ActorOptions options;
  options.name = "session";
  options.program_name = "session.wasm";
  options.host.device = device_.get();
  options.host.models = models_.get();
  options.host.grants.models = {kModel};
  return options;
}

Result<std::unique_ptr<Session>> Session::start(SessionHost& host, std::uint32_t n_ctx) {
  DW_TRY_ASSIGN(auto actor, Actor::spawn(host.program(), host.options()));
  auto session = std::make_unique<Session>(std::move(actor));
  DW_TRY(session->send(SESSION_PREPARE, static_cast<std::int32_t>(n_ctx)));
  return session;
}

Result<std::unique_ptr<Session>> Session::thaw(SessionHost& host, const Snapshot& snapshot) {
  DW_TRY_ASSIGN(Thawed thawed, Actor::thaw(host.program(), snapshot, host.options()));
  return std::make_unique<Session>(std::move(thawed.actor));
}

Result<std::int32_t> Session::send(std::int32_t verb, std::int32_t argument, std::span<const Token> tokens) {
  std::vector<std::int32_t> message = {verb, argument};
  message.insert(message.end(), tokens.begin(), tokens.end());
  DW_TRY_ASSIGN(const std::string reply,
                actor_->send({reinterpret_cast<const char*>(message.data()), message.size() * sizeof(std::int32_t)}));
  if (reply.size() != sizeof(std::int32_t)) {
    return fail(ErrorCode::internal, fmt::format("The guest answered with {} bytes.", reply.size()));
  }
  std::int32_t answer = 0;
  std::memcpy(&answer, reply.data(), sizeof(answer));
  return answer;
}

Result<Token> Session::ping() { return send(SESSION_PING, 0); }

Result<Token> Session::append(std::span<const Token> tokens) {
  return send(SESSION_APPEND, static_cast<std::int32_t>(tokens.size()), tokens);
}

Result<Token> Session::generate(std::uint32_t count) {
  return send(SESSION_GENERATE, static_cast<std::int32_t>(count));
}

Result<void> Session::rewind(std::uint32_t n) {
  DW_TRY(send(SESSION_REWIND, static_cast<std::int32_t>(n)));
  return {};
}

Result<ByteRange> Session::context() {
  DW_TRY_ASSIGN(const std::int32_t address, send(SESSION_CONTEXT_ADDRESS, 0));
  DW_TRY_ASSIGN(const std::int32_t bytes, send(SESSION_CONTEXT_BYTES, 0));
  return ByteRange{static_cast<std::uint32_t>(address), static_cast<std::uint32_t>(bytes)};
}

Result<ByteRange> Session::logits(std::uint32_t n_vocab) {
  DW_TRY_ASSIGN(const std::int32_t address, send(SESSION_LOGITS_ADDRESS, 0));
  return ByteRange{static_cast<std::uint32_t>(address), std::size_t{n_vocab} * sizeof(float)};
}

}  // namespace driftwood::bench
