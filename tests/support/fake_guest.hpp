// A guest without Wasm: a Region as linear memory and the host calls by name, as
// compiled code would call them.
#pragma once

#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hostcalls/guest_abi.hpp"
#include "hostcalls/guest_host.hpp"
#include "memory/region.hpp"

namespace driftwood::test {

class FakeGuest {
 public:
  explicit FakeGuest(GuestHostOptions options = {}, std::size_t memory_bytes = kMiB)
      : region_(*Region::create({.reserve = 64 * kMiB, .commit = memory_bytes, .guard = 0})),
        host_(std::move(options)) {
    host_.attach(*region_);
  }
  ~FakeGuest() { host_.drop_caches(); }
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  GuestHost& host() { return host_; }
  Region& memory() { return *region_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(region_->size()); }

  std::int32_t call(std::string_view name, std::initializer_list<std::uint32_t> arguments) {
    for (const HostFunction& function : guest_abi_functions()) {
      if (function.name != name) continue;
      if (function.parameters.size() != arguments.size()) throw std::invalid_argument("wrong number of arguments");
      std::vector<wasmtime_val_raw_t> slots(arguments.size() + 1);
      std::size_t i = 0;
      for (const std::uint32_t argument : arguments) slots[i++].i32 = static_cast<std::int32_t>(argument);
      function.callback(&host_, slots.data());
      return slots[0].i32;
    }
    throw std::invalid_argument("no such host call");
  }

  /// The guest's own way to the sentence.
  std::string last_error() {
    const std::uint32_t buffer = allocate(1024);
    const std::int32_t length = call("last_error", {buffer, 1024});
    return std::string(reinterpret_cast<const char*>(region_->data() + buffer), static_cast<std::size_t>(length));
  }

  /// Room in linear memory, aligned to 64 bytes.
  std::uint32_t allocate(std::size_t bytes, std::size_t alignment = 64) {
    const std::size_t offset = align_up(used_, alignment);
    if (offset + bytes > region_->size()) throw std::bad_alloc();
    used_ = offset + bytes;
    return static_cast<std::uint32_t>(offset);
  }
  template <typename T>
  std::uint32_t put(const std::vector<T>& values) {
    const std::uint32_t offset = allocate(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(region_->data() + offset, values.data(), values.size() * sizeof(T));
    return offset;
  }
  template <typename T>
  std::uint32_t put_struct(const T& value) {
    return put(std::vector<T>{value});
  }
  std::uint32_t put_text(std::string_view text) { return put(std::vector<char>(text.begin(), text.end())); }
  template <typename T>
  std::vector<T> get(std::uint32_t offset, std::size_t count) const {
    std::vector<T> values(count);
    if (count != 0) std::memcpy(values.data(), region_->data() + offset, count * sizeof(T));
    return values;
  }

 private:
  std::unique_ptr<Region> region_;
  GuestHost host_;
  std::size_t used_ = 1024;
};

}  // namespace driftwood::test
