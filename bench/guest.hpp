// A guest whose exports the host calls, with the guest ABI behind it. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/error.hpp"
#include "hostcalls/guest_host.hpp"
#include "wasm/instance.hpp"

namespace driftwood::bench {

class Guest {
 public:
  /// The engine, and what `options` borrows, must outlive it. Fails as Program::compile and Instance::create do.
  static Result<std::unique_ptr<Guest>> spawn(Engine& engine, std::span<const std::byte> module,
                                              GuestHostOptions options);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  /// Calls an export. A negative value is the guest ABI's error, and comes back as one with its sentence.
  Result<std::int32_t> call(std::string_view name, std::span<const std::int32_t> arguments = {});
  /// What an export gives as an address, checked to lie in memory with `size` bytes behind it.
  Result<std::size_t> address(std::string_view name, std::size_t size);
  Region& memory() noexcept { return instance_->memory(); }

 private:
  explicit Guest(GuestHostOptions options) : host_(std::move(options)) {}

  GuestHost host_;
  std::unique_ptr<Instance> instance_;
};

}  // namespace driftwood::bench
