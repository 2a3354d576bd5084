#include <fmt/format.h>

#include "hostcalls/call.hpp"
#include "hostcalls/llm_check.hpp"
#include "hostcalls/model_table.hpp"

namespace driftwood {
namespace {

Result<std::int32_t> context_size(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_context_size";
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const CheckedContextParams params, check_context_params(memory, call, arguments.u32(0)));
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, params.model));
  DW_TRY_ASSIGN(const ContextLayout layout,
                make_context_layout(forward->model().hyperparameters(), params.n_ctx, params.kv_type));
  DW_TRY(memory.write<std::uint64_t>({call, "bytes"}, arguments.u32(1), layout.size));
  return DW_OK;
}

Result<std::int32_t> context_init(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_context_init";
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const CheckedContextParams params, check_context_params(memory, call, arguments.u32(0)));
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, params.model));
  DW_TRY_ASSIGN(const std::span<std::byte> bytes,
                memory.bytes({call, "context"}, arguments.u32(1), arguments.u32(2), DW_CONTEXT_ALIGNMENT));
  const Hyperparameters& model = forward->model().hyperparameters();
  DW_TRY_ASSIGN(ContextLayout layout, make_context_layout(model, params.n_ctx, params.kv_type));
  if (bytes.size() < layout.size) {
    // An actor of an earlier version has the room that it was told of then.
    DW_TRY_ASSIGN(const ContextLayout first,
                  make_context_layout(model, params.n_ctx, params.kv_type, kFirstContextVersion));
    if (bytes.size() >= first.size) layout = first;
  }
  if (bytes.size() < layout.size) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"context_bytes\" of {} ({}) is too small for a Context of {} tokens "
                            "({} bytes).",
                            call, bytes.size(), params.n_ctx, layout.size));
  }
  DW_TRY(init_context(bytes.first(layout.size), layout, forward->model().hash()));
  return DW_OK;
}

Result<std::int32_t> forward(GuestHost::State& state, Arguments arguments) {
  const GuestMemory memory = state.memory();
  DW_TRY_ASSIGN(const dw_forward_desc desc, read_forward(memory, arguments.u32(0)));
  DW_TRY_ASSIGN(const auto model, find_model(state, "dw_forward", desc.model));
  DW_TRY_ASSIGN(const CheckedForward checked, check_forward(memory, desc, model->model().hyperparameters().n_vocab));
  if (state.cancel_flag().load(std::memory_order_relaxed)) {
    return fail(ErrorCode::cancelled, "The pass was cancelled before it began.");
  }
  ForwardRequest request;
  DW_TRY_ASSIGN(request.memory, state.import(hull(checked.context, checked.logits)));
  const std::size_t start = request.memory->region_offset();
  request.context = {checked.context.offset - start, checked.context.size};
  request.tokens = checked.tokens;
  request.outputs = checked.outputs;
  if (checked.logits.size != 0) request.logits = {checked.logits.offset - start, checked.logits.size};
  request.top_k = checked.top_k;
  request.cancel = &state.cancel_flag();
  request.progress = state.options.progress;
  request.priority = state.options.priority;
  DW_TRY(model->run(request));
  return DW_OK;
}

Result<std::int32_t> truncate(GuestHost::State& state, Arguments arguments) {
  const char* call = "dw_truncate";
  DW_TRY_ASSIGN(const auto forward, find_model(state, call, arguments.i32(0)));
  DW_TRY_ASSIGN(const std::span<std::byte> bytes,
                state.memory().bytes({call, "context"}, arguments.u32(1), arguments.u32(2), DW_CONTEXT_ALIGNMENT));
  const Model& model = forward->model();
  DW_TRY_ASSIGN(const CheckedContext context, check_context(bytes, model.hyperparameters(), model.hash()));
  const std::uint32_t n_tokens = arguments.u32(3);
  if (n_tokens > context.n_tokens) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The argument \"n_tokens\" of {} ({}) is more than the Context "
                            "holds ({}).",
                            call, n_tokens, context.n_tokens));
  }
  set_context_tokens(bytes, n_tokens);
  return DW_OK;
}

constexpr HostFunction kFunctions[] = {
    guest_function<context_size>("context_size", "ii"),
    guest_function<context_init>("context_init", "iii"),
    guest_function<forward>("forward", "i"),
    guest_function<truncate>("truncate", "iiii"),
};

}  // namespace

std::span<const HostFunction> llm_functions() { return kFunctions; }

}  // namespace driftwood
