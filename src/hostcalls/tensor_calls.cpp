#include "hostcalls/call.hpp"
#include "hostcalls/tensor_check.hpp"
#include "hostcalls/tensor_graph.hpp"

namespace driftwood {
namespace {

Result<TensorCache::Entry*> build_entry(GuestHost::State& state, const TensorRecords& records) {
  TensorCache::Entry entry;
  entry.tensor_bytes = records.tensors.size();
  entry.records.assign(records.tensors.begin(), records.tensors.end());
  entry.records.insert(entry.records.end(), records.ops.begin(), records.ops.end());
  DW_TRY_ASSIGN(entry.program, check_tensor_program(records, state.memory().size()));
  ByteRange needed;
  for (const CheckedTensor& tensor : entry.program.tensors) needed = hull(needed, tensor.range);
  if (needed.size == 0) needed = {0, 1};  // a program of no ops is one all the same
  // Where this import holds more than the last one, the graphs over that are dropped.
  DW_TRY_ASSIGN(const Import* import, state.import(needed));
  DW_TRY_ASSIGN(entry.graph, build_tensor_graph(*state.options.device, *import, entry.program));
  return state.tensor_cache.insert(std::move(entry));
}

Result<std::int32_t> tensor_run(GuestHost::State& state, Arguments arguments) {
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const TensorRecords records,
                read_tensor_records(memory, arguments.u32(0), arguments.u32(1), arguments.u32(2), arguments.u32(3)));
  TensorCache::Entry* entry = state.tensor_cache.find(records);
  if (entry == nullptr) {
    DW_TRY_ASSIGN(entry, build_entry(state, records));
  }
  DW_TRY(check_indices(entry->program, memory));
  DW_TRY(entry->graph->run(&state.cancel_flag()));
  return DW_OK;
}

constexpr HostFunction kFunctions[] = {guest_function<tensor_run>("tensor_run", "iiii")};

}  // namespace

std::span<const HostFunction> tensor_functions() { return kFunctions; }

}  // namespace driftwood
