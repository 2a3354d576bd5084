#include "device/cuda/staging.hpp"

#include <algorithm>
#include <cstring>

#include "device/cuda/status.hpp"

namespace driftwood::cuda {

Result<std::unique_ptr<Staging>> Staging::create(int device) {
  std::unique_ptr<Staging> staging(new Staging(device));
  DW_TRY(check(cudaStreamCreateWithFlags(&staging->stream_, cudaStreamNonBlocking), "making a stream"));
  for (Lane& lane : staging->lanes_) {
    for (Slot& slot : lane.slots) {
      void* bytes = nullptr;
      DW_TRY(check(cudaHostAlloc(&bytes, kSlotBytes, cudaHostAllocDefault), "pinning memory for copies"));
      slot.bytes = static_cast<std::byte*>(bytes);
      DW_TRY(check(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming), "making an event"));
    }
  }
  return staging;
}

Staging::~Staging() {
  for (Lane& lane : lanes_) {
    for (Slot& slot : lane.slots) {
      if (slot.done != nullptr) cudaEventDestroy(slot.done);
      if (slot.bytes != nullptr) cudaFreeHost(slot.bytes);
    }
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

template <typename Work>
Result<void> Staging::in_lanes(std::size_t size, const Work& work) {
  const std::size_t n = std::clamp<std::size_t>(size / kSlotBytes, 1, kLanes);
  std::array<Result<void>, kLanes> done;
  crew_.run(n, [&](std::size_t i) {
    done[i] = check(cudaSetDevice(device_), "choosing the device");
    if (done[i]) done[i] = work(lanes_[i]);
  });
  for (Result<void>& one : done) DW_TRY(one);
  return {};
}

Result<void> Staging::to_device(std::byte* to, const std::byte* host, std::size_t size) {
  Job job{.to = to, .from = host, .size = size};
  return in_lanes(size, [&](Lane& lane) { return send(job, lane); });
}

Result<void> Staging::send(Job& job, Lane& lane) {
  for (std::size_t at = job.next.fetch_add(kSlotBytes); at < job.size; at = job.next.fetch_add(kSlotBytes)) {
    const std::size_t piece = std::min(kSlotBytes, job.size - at);
    Slot& slot = lane.turn();
    DW_TRY(check(cudaEventSynchronize(slot.done), "copying to the device"));
    std::memcpy(slot.bytes, job.from + at, piece);
    DW_TRY(check(cudaMemcpyAsync(job.to + at, slot.bytes, piece, cudaMemcpyHostToDevice, stream_),
                 "copying to the device"));
    DW_TRY(check(cudaEventRecord(slot.done, stream_), "copying to the device"));
  }
  return {};
}

Result<void> Staging::to_host(std::byte* host, const std::byte* from, std::size_t size) {
  DW_TRY(finish());
  Job job{.to = host, .from = from, .size = size};
  return in_lanes(size, [&](Lane& lane) { return fetch(job, lane); });
}

Result<void> Staging::fetch(Job& job, Lane& lane) {
  struct Piece {
    Slot* slot = nullptr;
    std::size_t at = 0;
    std::size_t size = 0;
  };
  const auto ask = [&]() -> Result<Piece> {
    const std::size_t at = job.next.fetch_add(kSlotBytes);
    if (at >= job.size) return Piece{};
    const Piece piece{&lane.turn(), at, std::min(kSlotBytes, job.size - at)};
    DW_TRY(check(cudaMemcpyAsync(piece.slot->bytes, job.from + at, piece.size, cudaMemcpyDeviceToHost, stream_),
                 "copying to the host"));
    DW_TRY(check(cudaEventRecord(piece.slot->done, stream_), "copying to the host"));
    return piece;
  };
  // One piece is on its way while the one before it is moved on.
  DW_TRY_ASSIGN(Piece here, ask());
  while (here.slot != nullptr) {
    DW_TRY_ASSIGN(const Piece next, ask());
    DW_TRY(check(cudaEventSynchronize(here.slot->done), "copying to the host"));
    std::memcpy(job.to + here.at, here.slot->bytes, here.size);
    here = next;
  }
  return {};
}

Result<void> Staging::finish() { return check(cudaStreamSynchronize(stream_), "copying"); }

}  // namespace driftwood::cuda
