#include "guest.hpp"

#include <fmt/format.h>

namespace driftwood::bench {

Result<std::unique_ptr<Guest>> Guest::spawn(Engine& engine, std::span<const std::byte> module,
                                            GuestHostOptions options) {
  DW_TRY_ASSIGN(auto program, Program::compile(engine, module));
  std::unique_ptr<Guest> guest(new Guest(std::move(options)));
  InstanceOptions instance;
  instance.functions = guest_abi_functions();
  instance.host = &guest->host_;
  instance.on_memory = [&host = guest->host_](Region& memory) { host.attach(memory); };
  DW_TRY_ASSIGN(guest->instance_, Instance::create(std::move(program), instance));
  return guest;
}

// The host's hold on linear memory ends before the memory does.
Guest::~Guest() { host_.drop_caches(); }

Result<std::int32_t> Guest::call(std::string_view name, std::span<const std::int32_t> arguments) {
  DW_TRY_ASSIGN(const std::int32_t value, instance_->call(name, arguments));
  if (value >= 0) return value;
  return fail(ErrorCode::internal,
              fmt::format("The guest's {} gave {}. Its last failed call said: {}", name, value, host_.last_error()));
}

Result<std::size_t> Guest::address(std::string_view name, std::size_t size) {
  DW_TRY_ASSIGN(const std::int32_t value, call(name));
  const ByteRange range{static_cast<std::size_t>(value), size};
  if (!range.within(memory().size())) {
    return fail(ErrorCode::internal, fmt::format("The guest's {} gave {}, which is not in its memory.", name, value));
  }
  return range.offset;
}

}  // namespace driftwood::bench
