#include "device/worker/supervisor.hpp"

#include <fmt/format.h>

#include <thread>
#include <utility>

#include "core/log.hpp"

namespace driftwood::worker {
namespace {

constexpr std::size_t kInfoBytes = 65536;

/// Whether a result of one has the bits of the other's, and what was imported is allowed there.
bool is_same(const DeviceInfo& a, const DeviceInfo& b) {
  return a.name == b.name && a.description == b.description && a.numerics.device == b.numerics.device &&
         a.numerics.kernels == b.numerics.kernels && a.numerics.features == b.numerics.features &&
         a.capabilities.import_alignment == b.capabilities.import_alignment &&
         a.capabilities.import_sharing == b.capabilities.import_sharing;
}

}  // namespace

Result<DeviceInfo> Supervisor::start() {
  auto info = launch();
  if (!info) {
    const bool ended = connection_ != nullptr && connection_->ended();
    const std::string how = ended ? connection_->end() : "";
    drop();
    if (!ended) return info;
    return fail(ErrorCode::unavailable,
                fmt::format("The device worker of {} ended before it had opened the device: {}.", device_, how));
  }
  info_ = *info;
  return info;
}

Result<DeviceInfo> Supervisor::launch() {
  std::filesystem::path program = options_.program;
  if (program.empty()) {
    DW_TRY_ASSIGN(program, find_worker_program());
  }
  DW_TRY_ASSIGN(auto started, Connection::start(program, options_.time_limit));
  std::shared_ptr<Connection> connection = std::move(started);
  {
    const std::lock_guard lock(mutex_);
    connection_ = connection;
    number_.fetch_add(1);
  }
  Writer writer;
  encode(writer, OpenRequest{device_, options_.device});
  DW_TRY_ASSIGN(const auto answer,
                connection->ask({.kind = Kind::open, .body = writer.bytes(), .answer_bytes = kInfoBytes}));
  return decode_device_info(answer);
}

void Supervisor::drop() {
  const std::lock_guard lock(mutex_);
  connection_.reset();
}

Result<Connection*> Supervisor::running() {
  if (connection_ != nullptr && connection_->ended()) {
    static_cast<void>(explain({ErrorCode::unavailable, "", {}}, nullptr));
  }
  while (connection_ == nullptr) {
    const auto delay = restarts_.delay();
    if (!delay) {
      return fail(ErrorCode::device_lost,
                  fmt::format("The device worker of {} ended {} times in a row, last by {}: the device counts as lost.",
                              device_, restarts_.ends(), last_end_));
    }
    std::this_thread::sleep_for(*delay);
    auto info = launch();
    if (!info) {
      last_end_ = info.error().message;
      log(LogLevel::warning,
          fmt::format("The device worker of {} cannot be started again. {}", device_, info.error().to_string()));
      restarts_.note_end();
      drop();
    } else if (!is_same(*info, info_)) {
      drop();
      return fail(ErrorCode::device_lost, fmt::format("The device {} came back as another one ({}, which was {}).",
                                                      device_, info->description, info_.description));
    }
  }
  return connection_.get();
}

Error Supervisor::explain(Error error, const char* doing) {
  if (connection_ == nullptr) return error;
  // A new process may open a device again that this one lost.
  const bool lost = error.code == ErrorCode::device_lost;
  if (!connection_->ended() && !lost) return error;
  const bool hung = error.code == ErrorCode::internal;
  last_end_ = lost || hung ? error.message : connection_->end();
  restarts_.note_end();
  drop();
  const std::string when = doing == nullptr ? std::string() : fmt::format(" in the middle of {}", doing);
  log(LogLevel::warning,
      fmt::format("The device worker of {} ended{}, and is started again: {}", device_, when, last_end_));
  if (hung) return error;
  return {ErrorCode::unavailable,
          fmt::format("The device worker of {} ended{} ({}); it is started again.", device_, when, last_end_),
          {}};
}

void Supervisor::notify(std::uint64_t worker, Kind kind, std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  if (connection_ != nullptr && worker == number()) connection_->notify(kind, id);
}

}  // namespace driftwood::worker
