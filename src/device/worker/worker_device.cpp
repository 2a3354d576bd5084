#include "device/worker/worker_device.hpp"

#include <fmt/format.h>
#include <ggml-cpu.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "device/worker/remote_graph.hpp"
#include "device/worker/remote_import.hpp"
#include "device/worker/supervisor.hpp"

namespace driftwood::worker {
namespace {

/// As the node's users see the worker's device.
DeviceInfo seen_from_here(DeviceInfo info) {
  // Our own kernels are functions of this process; without them a device of the host's runs ggml's.
  if (std::exchange(info.capabilities.host_kernels, false)) {
    info.numerics.kernels = fmt::format("ggml {}", ggml_version());
  }
  info.capabilities.host_addresses = false;
  info.in_worker = true;
  return info;
}

class WorkerDevice final : public Device {
 public:
  WorkerDevice(DeviceInfo info, std::unique_ptr<Supervisor> supervisor)
      : Device(std::move(info)), supervisor_(std::move(supervisor)) {}

 private:
  /// A graph, and the worker that has it.
  struct Sent {
    RemoteGraph graph;
    std::uint64_t worker = 0;
  };

  std::optional<std::uint64_t> free_memory_impl() override {
    const std::lock_guard lock(mutex_);
    const auto answer = ask_twice("a question", [](Connection& worker) { return worker.ask({.kind = Kind::room}); });
    if (!answer || answer->size() != sizeof(std::uint64_t)) return std::nullopt;
    return Reader(*answer).get<std::uint64_t>();
  }

  // ---- what the node's buffers stand for

  Result<Imported> import_impl(const HostBytes& bytes) override {
    auto import = std::make_unique<RemoteImport>();
    import->data = bytes.data;
    import->size = bytes.size;
    import->read_only = bytes.read_only;
    import->region = bytes.region;
    import->region_offset = bytes.region_offset;
    import->file = bytes.file;
    DW_TRY(import->reserve_addresses(info().capabilities.import_alignment));
    bool copied = false;
    if (bytes.region == nullptr && bytes.file.fd < 0) {
      DW_TRY(copy(*import));
      copied = true;
    }
    Sharing sharing = Sharing::copied;
    {
      const std::lock_guard lock(mutex_);
      import->id = ++last_id_;
      DW_TRY_ASSIGN(sharing, ask_twice("an import", [&](Connection& worker) { return send(worker, *import); }));
    }
    ggml_backend_buffer_t buffer = ggml_backend_cpu_buffer_from_ptr(import->device, bytes.size);
    const std::lock_guard lock(tables_);
    imports_.emplace(buffer, std::move(import));
    return Imported{buffer, copied ? Sharing::copied : sharing};
  }

  /// Bytes that lie in no file are copied into one.
  Result<void> copy(RemoteImport& import) {
    DW_TRY_ASSIGN(import.copy, MemoryFile::create(align_up(import.size, page_size())));
    const std::span<const std::byte> bytes(import.data, import.size);
    DW_TRY(import.copy->write(0, {&bytes, 1}));
    import.file = {import.copy->fd(), 0};
    count_copied(import.size);
    return {};
  }

  void release_impl(ggml_backend_buffer_t buffer) noexcept override {
    std::unique_ptr<RemoteImport> import;
    {
      const std::lock_guard lock(tables_);
      const auto found = imports_.find(buffer);
      import = std::move(found->second);
      imports_.erase(found);
    }
    supervisor_->notify(import->worker, Kind::release, import->id);
    ggml_backend_buffer_free(buffer);
  }

  /// Needs tables_ while it is used. What it finds belongs to an Import, and stays for whoever holds that.
  RemoteGraph::FindImport finder() {
    // Most tensors of a graph are weights.
    return [this, last = ggml_backend_buffer_t{},
            import = static_cast<RemoteImport*>(nullptr)](ggml_backend_buffer_t buffer) mutable {
      if (buffer == last) return import;
      const auto found = imports_.find(buffer);
      last = buffer;
      import = found == imports_.end() ? nullptr : found->second.get();
      return import;
    };
  }
  std::vector<RemoteGraph::Use> uses(const Sent& sent) {
    const std::lock_guard lock(tables_);
    return sent.graph.uses(finder());
  }

  // ---- graphs

  Result<void> adopt_impl(ggml_cgraph* graph) override {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Sent> sent;
    {
      const std::lock_guard tables(tables_);
      sent = std::make_unique<Sent>(RemoteGraph(++last_id_, graph, finder()));
    }
    DW_TRY(ask_twice("the setting up of a graph", [&](Connection& worker) { return send(worker, *sent); }));
    const std::lock_guard tables(tables_);
    for (const ggml_tensor* tensor : sent->graph.tensors()) graph_of_.insert_or_assign(tensor, sent.get());
    graphs_.emplace(graph, std::move(sent));
    return {};
  }

  void forget_impl(const ggml_cgraph* graph) noexcept override {
    std::unique_ptr<Sent> sent;
    {
      const std::lock_guard lock(tables_);
      const auto found = graphs_.find(graph);
      if (found == graphs_.end()) return;  // it could not be adopted
      sent = std::move(found->second);
      graphs_.erase(found);
      for (const ggml_tensor* tensor : sent->graph.tensors()) {
        // Weights belong to many graphs, and the last one stands for them.
        const auto known = graph_of_.find(tensor);
        if (known != graph_of_.end() && known->second == sent.get()) graph_of_.erase(known);
      }
    }
    supervisor_->notify(sent->worker, Kind::forget, sent->graph.id());
  }

  Sent* graph_of(const ggml_tensor* tensor) {
    const std::lock_guard lock(tables_);
    const auto found = graph_of_.find(tensor);
    return found == graph_of_.end() ? nullptr : found->second;
  }

  Result<void> write_impl(ggml_tensor* tensor, std::span<const std::byte> bytes) override {
    Sent* const sent = graph_of(tensor);
    if (sent == nullptr) return not_of_a_graph(tensor);
    sent->graph.set_input(tensor, bytes);
    return {};
  }

  Result<void> read_impl(const ggml_tensor* tensor, std::span<std::byte> bytes) override {
    Sent* const sent = graph_of(tensor);
    if (sent == nullptr) return not_of_a_graph(tensor);
    const std::lock_guard lock(mutex_);
    DW_TRY_ASSIGN(Connection* const worker, supervisor_->running());
    if (sent->worker != supervisor_->number()) {
      return fail(ErrorCode::unavailable, fmt::format("The device worker of {} ended before the results of a "
                                                      "computation were read.",
                                                      info().name));
    }
    Writer writer;
    writer.put(sent->graph.index_of(tensor));
    writer.put<std::uint64_t>(bytes.size());
    auto answer =
        worker->ask({.kind = Kind::read, .id = sent->graph.id(), .body = writer.bytes(), .answer_bytes = bytes.size()});
    if (!answer) return std::unexpected(supervisor_->explain(std::move(answer).error(), "the reading of a result"));
    if (answer->size() != bytes.size()) return broken("result");
    std::ranges::copy(*answer, bytes.begin());
    return {};
  }

  Result<void> compute_impl(ggml_cgraph* graph, const std::atomic<bool>* cancel) override {
    Sent* sent = nullptr;
    {
      const std::lock_guard lock(tables_);
      sent = graphs_.at(graph).get();
    }
    const std::lock_guard lock(mutex_);
    DW_TRY_ASSIGN(Connection* const worker, supervisor_->running());
    auto done = run(*worker, *sent, cancel);
    sent->graph.forget_inputs();
    if (!done) return std::unexpected(supervisor_->explain(std::move(done).error(), "a computation"));
    supervisor_->note_success();
    return {};
  }

  bool supports_impl(const ggml_tensor* op) override {
    const std::lock_guard lock(mutex_);
    Writer writer;
    encode(writer, alone(op));
    // Layers repeat their operators.
    const std::string key(reinterpret_cast<const char*>(writer.bytes().data()), writer.bytes().size());
    if (const auto known = supported_.find(key); known != supported_.end()) return known->second;
    const auto answer = ask_twice(
        "a question", [&](Connection& worker) { return worker.ask({.kind = Kind::supports, .body = writer.bytes()}); });
    const bool supported = answer && answer->size() == 1 && answer->front() == std::byte{1};
    if (answer) supported_.emplace(key, supported);
    return supported;
  }

  /// Tensors in scratch memory of graphs only: they have addresses here, and pages in the worker.
  ggml_backend_buffer_type_t scratch_type_impl() override { return ggml_backend_cpu_buffer_type(); }

  // ---- the worker; these need mutex_

  /// An operator with what it is made of, as tensors of no graph.
  static GraphMessage alone(const ggml_tensor* op) {
    GraphMessage message;
    TensorRecord record = record_of(*op);
    for (int i = 0; i < GGML_MAX_SRC; ++i) {
      if (op->src[i] == nullptr) continue;
      TensorRecord source = record_of(*op->src[i]);
      source.op = GGML_OP_NONE;
      source.view_offset = 0;
      record.sources[i] = static_cast<std::int32_t>(message.tensors.size());
      message.tensors.push_back(source);
    }
    record.view_offset = 0;
    message.tensors.push_back(record);
    return message;
  }

  /// Asks once more where the worker ended meanwhile: what is asked is the same for a new one.
  template <typename Ask>
  auto ask_twice(const char* doing, const Ask& ask) -> decltype(ask(std::declval<Connection&>())) {
    for (int attempt = 0;; ++attempt) {
      DW_TRY_ASSIGN(Connection* const worker, supervisor_->running());
      auto answer = ask(*worker);
      if (answer) return answer;
      Error error = supervisor_->explain(std::move(answer).error(), doing);
      if (error.code != ErrorCode::unavailable || attempt == 1) return std::unexpected(std::move(error));
    }
  }

  Result<Sharing> send(Connection& worker, RemoteImport& import) {
    DW_TRY_ASSIGN(const RemoteImport::Mapping mapping, import.map({}));
    Writer writer;
    encode(writer, mapping.request);
    DW_TRY_ASSIGN(const auto bytes,
                  worker.ask({.kind = Kind::hold, .id = import.id, .body = writer.bytes(), .files = mapping.files}));
    DW_TRY_ASSIGN(const ImportAnswer answer, decode_import_answer(bytes));
    count_copied(answer.copied);
    import.worker = supervisor_->number();
    import.version = mapping.version;
    return answer.sharing;
  }

  /// Sees to it that the worker has the import's pages as they are, and can write those of `writes`.
  Result<void> bring_up_to_date(Connection& worker, RemoteImport& import, std::span<const ByteRange> writes) {
    if (import.worker != supervisor_->number()) DW_TRY(send(worker, import));
    if (import.region == nullptr) return {};
    DW_TRY_ASSIGN(const RemoteImport::Mapping mapping, import.map(writes));
    if (mapping.version == import.version) return {};
    Writer writer;
    encode(writer, mapping.request);
    DW_TRY(worker.ask({.kind = Kind::map, .id = import.id, .body = writer.bytes(), .files = mapping.files}));
    import.version = mapping.version;
    return {};
  }

  Result<void> send(Connection& worker, Sent& sent) {
    for (const RemoteGraph::Use& use : uses(sent)) DW_TRY(bring_up_to_date(worker, *use.import, {}));
    Writer writer;
    {
      const std::lock_guard lock(tables_);
      encode(writer, sent.graph.describe(finder()));
    }
    DW_TRY(worker.ask({.kind = Kind::graph, .id = sent.graph.id(), .body = writer.bytes()}));
    sent.worker = supervisor_->number();
    return {};
  }

  Result<void> run(Connection& worker, Sent& sent, const std::atomic<bool>* cancel) {
    for (const RemoteGraph::Use& use : uses(sent)) {
      DW_TRY(bring_up_to_date(worker, *use.import, use.writes));
    }
    if (sent.worker != supervisor_->number()) DW_TRY(send(worker, sent));
    writer_.clear();
    behind_.clear();
    {
      const std::lock_guard lock(tables_);
      const RunRequest request = sent.graph.changes(finder());
      encode(writer_, request);
      for (const auto& input : request.inputs) behind_.push_back(input.bytes);
    }
    DW_TRY_ASSIGN(
        const auto answer,
        worker.ask(
            {.kind = Kind::run, .id = sent.graph.id(), .body = writer_.bytes(), .behind = behind_, .cancel = cancel}));
    Reader reader(answer);
    count_copied(reader.get<std::uint64_t>());
    return {};
  }

  std::unexpected<Error> not_of_a_graph(const ggml_tensor* tensor) const {
    return fail(ErrorCode::internal,
                fmt::format("Tensor ({}) is in no graph of the device ({}).", ggml_get_name(tensor), info().name));
  }

  std::mutex mutex_;  ///< of what the worker is asked; before tables_
  std::unique_ptr<Supervisor> supervisor_;
  std::uint64_t last_id_ = 0;
  Writer writer_;  ///< of runs, as the next one
  std::vector<std::span<const std::byte>> behind_;
  std::unordered_map<std::string, bool> supported_;  ///< operators, by their bytes

  std::mutex tables_;
  std::map<ggml_backend_buffer_t, std::unique_ptr<RemoteImport>> imports_;
  std::map<const ggml_cgraph*, std::unique_ptr<Sent>> graphs_;
  std::unordered_map<const ggml_tensor*, Sent*> graph_of_;  ///< a graph that a tensor is part of
};

}  // namespace

Result<void> check_worker_program() {
  DW_TRY(find_worker_program());
  return {};
}

Result<std::unique_ptr<Device>> open_worker_device(const std::string& name, const WorkerOptions& options) {
  WorkerOptions chosen = options;
  chosen.device.mirror_budget = 0;  // they follow the page tables of the node
  auto supervisor = std::make_unique<Supervisor>(name, std::move(chosen));
  DW_TRY_ASSIGN(DeviceInfo info, supervisor->start());
  return std::make_unique<WorkerDevice>(seen_from_here(std::move(info)), std::move(supervisor));
}

}  // namespace driftwood::worker
