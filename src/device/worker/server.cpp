#include "device/worker/server.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <map>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/log.hpp"
#include "device/worker/hosted_graph.hpp"
#include "device/worker/letters.hpp"
#include "device/worker/mapped_import.hpp"

namespace driftwood::worker {
namespace {

class Server {
 public:
  Server(Channel channel, const OpenDevice& open) : channel_(std::move(channel)), open_(&open) {}

  /// Until the node is gone.
  Result<void> serve() {
    for (;;) {
      DW_TRY_ASSIGN(const Received received, channel_.receive());
      answer_.clear();
      Result<void> done;
      try {
        done = handle(received);
      } catch (const std::bad_alloc&) {
        done = fail(ErrorCode::out_of_memory, "The device worker has no memory for that.");
      }
      if (received.packet.sequence != 0) DW_TRY(answer(received.packet, done));
    }
  }

 private:
  Result<void> handle(const Received& received) {
    const Packet& packet = received.packet;
    if (packet.kind == Kind::letters) return take_letters(received);
    if (packet.kind == Kind::release) return release(packet.id);
    if (packet.kind == Kind::forget) return forget(packet.id);
    if (!letters_ || packet.size > letters_->capacity()) return broken("request");
    const auto shared = letters_->requests().first(static_cast<std::size_t>(packet.size));
    body_.assign(shared.begin(), shared.end());
    if (packet.kind == Kind::open) return open_device();
    if (device_ == nullptr) return broken("request");
    switch (packet.kind) {
      case Kind::supports: return supports();
      case Kind::hold: return hold(packet.id, received.files);
      case Kind::map: return map(packet.id, received.files);
      case Kind::graph: return take_graph(packet.id);
      case Kind::run: return run(packet.id);
      case Kind::read: return read(packet.id);
      case Kind::room: return room();
      default: return broken("request");
    }
  }

  Result<void> take_letters(const Received& received) {
    if (received.files.size() != 1) return broken("letters");
    letters_.reset();
    DW_TRY_ASSIGN(letters_, Letters::open(received.files.front().fd(), static_cast<std::size_t>(received.packet.size)));
    return {};
  }

  Result<void> open_device() {
    if (device_ != nullptr) return broken("open");
    DW_TRY_ASSIGN(const OpenRequest request, decode_open_request(body_));
    DW_TRY_ASSIGN(device_, (*open_)(request.device, request.options));
    encode(answer_, device_->info());
    return {};
  }

  Result<void> supports() {
    DW_TRY_ASSIGN(const GraphMessage message, decode_graph(body_));
    // As tensors without memory: of a graph that is never made.
    const std::size_t count = message.tensors.size();
    if (count == 0) return broken("supports");
    std::vector<ggml_tensor> tensors(count);
    for (std::size_t i = 0; i < count; ++i) {
      const TensorRecord& record = message.tensors[i];
      ggml_tensor& tensor = tensors[i];
      tensor.type = static_cast<ggml_type>(record.type);
      tensor.op = static_cast<ggml_op>(record.op);
      tensor.flags = record.flags;
      std::ranges::copy(record.ne, tensor.ne);
      std::ranges::copy(record.nb, tensor.nb);
      std::ranges::copy(record.op_params, tensor.op_params);
      for (int s = 0; s < GGML_MAX_SRC; ++s) {
        if (record.sources[s] >= 0) tensor.src[s] = &tensors[static_cast<std::size_t>(record.sources[s])];
      }
      if (record.view_of >= 0) {
        tensor.view_src = &tensors[static_cast<std::size_t>(record.view_of)];
        tensor.view_offs = record.view_offset;
      }
    }
    answer_.put<std::uint8_t>(device_->supports(&tensors.back()));
    return {};
  }

  Result<void> hold(std::uint64_t id, std::span<const File> files) {
    DW_TRY_ASSIGN(const ImportRequest request, decode_import_request(body_));
    if (id == 0 || imports_.contains(id)) return broken("import");
    const std::uint64_t before = device_->bytes_copied();
    DW_TRY_ASSIGN(auto import, MappedImport::create(*device_, request, files));
    encode(answer_, ImportAnswer{import->import().sharing(), device_->bytes_copied() - before});
    imports_.emplace(id, std::move(import));
    return {};
  }

  Result<void> map(std::uint64_t id, std::span<const File> files) {
    DW_TRY_ASSIGN(const ImportRequest request, decode_import_request(body_));
    const auto found = imports_.find(id);
    if (found == imports_.end()) return broken("map");
    return found->second->map(request, files);
  }

  Result<void> release(std::uint64_t id) {
    imports_.erase(id);
    return {};
  }

  Result<void> forget(std::uint64_t id) {
    graphs_.erase(id);
    return {};
  }

  Result<void> take_graph(std::uint64_t id) {
    DW_TRY_ASSIGN(const GraphMessage message, decode_graph(body_));
    if (id == 0 || graphs_.contains(id)) return broken("graph");
    DW_TRY_ASSIGN(auto graph, HostedGraph::create(*device_, message, finder()));
    graphs_.emplace(id, std::move(graph));
    return {};
  }

  Result<void> run(std::uint64_t id) {
    const auto behind = letters_->requests().subspan(body_.size());
    DW_TRY_ASSIGN(const RunRequest request, decode_run_request(body_, behind));
    const auto found = graphs_.find(id);
    if (found == graphs_.end()) return broken("run");
    const std::uint64_t before = device_->bytes_copied();
    DW_TRY(found->second->run(request, finder(), &letters_->cancel()));
    answer_.put<std::uint64_t>(device_->bytes_copied() - before);
    return {};
  }

  Result<void> read(std::uint64_t id) {
    Reader reader(body_);
    const auto tensor = reader.get<std::uint32_t>();
    const auto size = reader.get<std::uint64_t>();
    const auto found = graphs_.find(id);
    if (!reader.ended() || found == graphs_.end() || size > letters_->capacity()) return broken("read");
    large_answer_ = static_cast<std::size_t>(size);
    return found->second->read(tensor, letters_->answers().first(*large_answer_));
  }

  Result<void> room() {
    if (const auto free = device_->free_memory()) answer_.put<std::uint64_t>(*free);
    return {};
  }

  HostedGraph::FindImport finder() const {
    return [this](std::uint64_t id) -> const MappedImport* {
      const auto found = imports_.find(id);
      return found == imports_.end() ? nullptr : found->second.get();
    };
  }

  Result<void> answer(const Packet& request, const Result<void>& done) {
    Packet packet{.kind = request.kind, .sequence = request.sequence, .id = request.id};
    const std::optional<std::size_t> large = std::exchange(large_answer_, std::nullopt);
    std::span<const std::byte> body = answer_.bytes();
    std::string sentence;
    if (!done) {
      packet.failed = 1 + static_cast<std::uint32_t>(done.error().code);
      sentence = done.error().to_string();
      body = std::as_bytes(std::span(sentence));
    }
    const std::size_t room = letters_ ? letters_->capacity() : 0;
    body = body.first(std::min(body.size(), room));
    if (!body.empty()) std::ranges::copy(body, letters_->answers().begin());
    packet.size = done && large ? *large : body.size();
    return channel_.send(packet);
  }

  Channel channel_;
  const OpenDevice* open_;
  std::optional<Letters> letters_;
  std::unique_ptr<Device> device_;
  // The graphs go before the imports that they are placed in, and both before the device.
  std::map<std::uint64_t, std::unique_ptr<MappedImport>> imports_;
  std::map<std::uint64_t, std::unique_ptr<HostedGraph>> graphs_;
  std::vector<std::byte> body_;
  Writer answer_;
  std::optional<std::size_t> large_answer_;  ///< bytes that lie in the answer's place already
};

/// A computation may take long, or for ever; a worker without its node is of no use.
void end_with_the_node(int socket) {
  std::thread([socket] {
    pollfd waited{.fd = socket, .events = POLLRDHUP, .revents = 0};
    while (poll(&waited, 1, -1) <= 0) {
    }
    _exit(0);
  }).detach();
}

}  // namespace

int serve(int socket, const OpenDevice& open) {
  end_with_the_node(socket);
  Server server(Channel(File(socket)), open);
  const auto served = server.serve();
  if (served.error().code == ErrorCode::unavailable) _exit(0);  // the node is gone: no driver needs to tidy up
  log(LogLevel::error, served.error().to_string());
  return exit_status(served.error().code);
}

}  // namespace driftwood::worker
