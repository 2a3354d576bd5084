#include <algorithm>
#include <cstring>

#include "hostcalls/call.hpp"

namespace driftwood {
namespace {

constexpr std::uint32_t kWasmPage = 65536;

std::uint32_t sharing_number(Sharing sharing) {
  switch (sharing) {
    case Sharing::same_memory: return DW_SHARING_SAME_MEMORY;
    case Sharing::mapped_over_bus: return DW_SHARING_MAPPED_OVER_BUS;
    case Sharing::copied: return DW_SHARING_COPIED;
  }
  return DW_SHARING_COPIED;
}

Result<std::int32_t> abi_version(GuestHost::State&, Arguments) { return DW_ABI_VERSION; }

Result<std::int32_t> info(GuestHost::State& state, Arguments arguments) {
  const Argument out{"dw_get_info", "out"};
  const GuestMemory memory = state.memory();
  DW_TRY(memory.read_sized<dw_info>(out, arguments.u32(0)));

  dw_info told{};
  told.size = sizeof(told);
  told.abi_version = DW_ABI_VERSION;
  told.page_size = static_cast<std::uint32_t>(page_size());
  told.memory_limit_pages =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(state.options.memory_limit / kWasmPage, kWasmPage));
  told.sharing = DW_SHARING_COPIED;
  if (const Device* device = state.options.device) {
    told.sharing = sharing_number(device->info().capabilities.import_sharing);
    told.bytes_copied = device->bytes_copied();
    told.threads = static_cast<std::uint32_t>(std::max(device->info().threads, 0));
    std::strncpy(told.device, device->info().name.c_str(), sizeof(told.device) - 1);
    if (state.options.grants.show_addresses) {
      DW_TRY_ASSIGN(const Import* import, state.import({0, std::min<std::size_t>(memory.size(), 1)}));
      told.sharing = sharing_number(import->sharing());
      told.host_base = reinterpret_cast<std::uintptr_t>(memory.data());
      told.device_base = reinterpret_cast<std::uintptr_t>(import->device_address(0));
    }
  }
  DW_TRY(memory.write(out, arguments.u32(0), told));
  return DW_OK;
}

Result<std::int32_t> last_error(GuestHost::State& state, Arguments arguments) {
  const std::string& sentence = state.last_error();
  return state.memory().give<char>({"dw_last_error", "buffer"}, arguments.u32(0), arguments.u32(1), sentence);
}

constexpr HostFunction kFunctions[] = {
    guest_function<abi_version>("abi_version", ""),
    guest_function<info>("info", "i"),
    guest_function<last_error>("last_error", "ii"),
};

}  // namespace

std::span<const HostFunction> info_functions() { return kFunctions; }

}  // namespace driftwood
