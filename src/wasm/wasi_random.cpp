#include "wasm/wasi_random.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "wasm/determinism.hpp"
#include "wasm/guest_array.hpp"
#include "wasm/store_data.hpp"
#include "wasm/wasi.hpp"
#include "wasm/wasi_errno.hpp"
#include "wasm/watch.hpp"

namespace driftwood {

namespace {

constexpr std::size_t kMostAtOnce = 64 * kKiB;  // between two looks at the deadline

bool fill_from_system(std::span<std::byte> out) {
  constexpr std::size_t kMostEntropy = 256;  // what getentropy gives at once
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kMostEntropy));
    if (::getentropy(piece.data(), piece.size()) != 0) return false;
    out = out.subspan(piece.size());
  }
  return true;
}

/// (bytes, how many)
std::int32_t random(const StoreData& store, const wasmtime_val_raw_t* slots) {
  const GuestArray target(store.memory, slots[0].i32, static_cast<std::uint32_t>(slots[1].i32));
  if (!target.is_there()) return wasi_errno::kFault;
  for (auto left = target.bytes(); !left.empty();) {
    const auto piece = left.first(std::min(left.size(), kMostAtOnce));
    if (store.determinism != nullptr) {
      store.determinism->fill_random(piece);
    } else if (!fill_from_system(piece)) {
      return wasi_errno::kIo;
    }
    left = left.subspan(piece.size());
    if (!left.empty() && !store.watch->sleep_until(std::chrono::steady_clock::now())) return wasi_errno::kInterrupted;
  }
  return wasi_errno::kSuccess;
}

void random_get(void* store_data, wasmtime_val_raw_t* slots) {
  slots[0].i32 = random(*static_cast<const StoreData*>(store_data), slots);
}

constexpr std::array kFunctions = {
    HostFunction{kWasiModule, "random_get", "ii", "i", random_get},
};

}  // namespace

std::span<const HostFunction> wasi_random_functions() noexcept { return kFunctions; }

}  // namespace driftwood
