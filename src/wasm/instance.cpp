#include "wasm/instance.hpp"

#include <fmt/format.h>
#include <wasmtime.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "wasm/epoch_ticker.hpp"
#include "wasm/file_count.hpp"
#include "wasm/globals.hpp"
#include "wasm/handles.hpp"
#include "wasm/linear_memory.hpp"
#include "wasm/linkage.hpp"
#include "wasm/module/module_facts.hpp"
#include "wasm/store_data.hpp"
#include "wasm/trap.hpp"
#include "wasm/wasi.hpp"
#include "wasm/watch.hpp"

namespace driftwood {

namespace {

/// The guest's, and FileCount's.
constexpr std::int64_t kMostInstances = 2;
/// Compilers use one; this keeps a guest's tables within a small multiple of `table_elements`.
constexpr std::int64_t kMostTables = 8;

/// The one function of WASI that opens anything.
constexpr std::string_view kPathOpen = "wasi_snapshot_preview1.path_open";

/// An exported function of i32 parameters and at most one i32 result.
struct ExportedFunction {
  wasmtime_func_t handle;
  std::size_t parameters = 0;
  bool has_result = false;
};

bool all_i32(const wasm_valtype_vec_t& types) {
  for (std::size_t i = 0; i < types.size; ++i) {
    if (wasm_valtype_kind(types.data[i]) != WASM_I32) return false;
  }
  return true;
}

std::unexpected<Error> not_exported(std::string_view name) {
  return fail(ErrorCode::not_found, fmt::format("The program exports no function \"{}\".", printable(name)));
}

/// Whether a state's Region can be the program's linear memory.
Result<void> check_memory(const Program& program, const Region* memory) {
  const auto& limits = program.facts().memory;
  if (memory == nullptr || !limits) {
    return fail(ErrorCode::incompatible,
                fmt::format("The {} has no linear memory.", memory == nullptr ? "state" : "program"));
  }
  if (memory->reserved() != kMemoryReservation || memory->guard() != kMemoryGuard) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The state's memory reserves {} bytes and guards {}; a linear memory's are {} and {}.",
                            memory->reserved(), memory->guard(), kMemoryReservation, kMemoryGuard));
  }
  const std::size_t size = memory->size();
  if (!is_aligned(size, kWasmPage) || size < limits->minimum_bytes() || size > limits->maximum_bytes()) {
    return fail(ErrorCode::incompatible,
                fmt::format("The state's memory has {} bytes; the program's has {} to {}, in pages of {}.", size,
                            limits->minimum_bytes(), limits->maximum_bytes(), kWasmPage));
  }
  return {};
}

}  // namespace

struct Instance::State {
  State(std::shared_ptr<const Program> of, std::unique_ptr<Region> memory, const InstanceOptions& options)
      : program(std::move(of)),
        region(std::move(memory)),
        determinism(options.determinism),
        data{.host = options.host,
             .watch = &watch,
             .memory = region.get(),
             .determinism = determinism ? &*determinism : nullptr},
        store(wasmtime_store_new(program->engine().handle(), &data, nullptr)),
        context(wasmtime_store_context(store.get())),
        watch(program->engine().handle(), store.get(), options.limits.run_time) {
    wasmtime_store_limiter(store.get(), static_cast<std::int64_t>(options.limits.memory_bytes),
                           options.limits.table_elements, kMostInstances, kMostTables, 1);
  }

  /// Runs `enter`, which enters the guest, under its deadline. The value is the exit status if the guest gave one.
  template <typename Enter>
  Result<std::optional<int>> run(Enter enter);
  Result<void> instantiate(const Linkage& linkage);
  Result<void> run_start();
  Result<const ExportedFunction*> find(std::string_view name);
  /// The guest's memory under the name that WASI looks for; none: it can use nothing of WASI that needs memory.
  std::optional<wasmtime_memory_t> exported_memory();
  Result<std::optional<int>> call(const ExportedFunction& function, std::span<const std::int32_t> arguments,
                                  std::int32_t& result);

  std::shared_ptr<const Program> program;
  std::unique_ptr<Region> region;  // before the store, which refers to it until it is gone
  std::optional<Determinism> determinism;
  StoreData data;
  WasmStoreHandle store;
  wasmtime_context_t* context;
  Watch watch;
  wasmtime_instance_t instance{};
  std::optional<Globals> globals;  // once the instance is there
  std::map<std::string, ExportedFunction, std::less<>> functions;
  std::size_t folders = 0;  // that WASI gives
  std::optional<ExportedFunction> file_count;
};

template <typename Enter>
Result<std::optional<int>> Instance::State::run(Enter enter) {
  // For deadlines, and for an interruption whose own tick is used up by a check that just ended (watch.hpp).
  const EpochTicker::Hold ticking = program->engine().ticker().hold();
  if (!watch.begin()) return fail(ErrorCode::unavailable, "The instance is already running a call.");
  wasm_trap_t* raised = nullptr;
  const WasmErrorHandle error(enter(&raised));
  const WasmTrapHandle trap(raised);
  const auto ending = watch.end();

  const std::uint64_t code_shift = program->facts().code_shift;
  if (trap) return std::unexpected(trap_error(*trap, code_shift));
  if (!error) return std::nullopt;
  if (ending == Watch::Ending::interrupted) return fail(ErrorCode::cancelled, "The guest was interrupted.");
  if (ending == Watch::Ending::deadline) {
    return fail(ErrorCode::guest_trap, fmt::format("The guest ran longer than its limit of {} ms.{}",
                                                   watch.limit().count(), backtrace(*error, code_shift)));
  }
  int status = 0;
  if (wasmtime_error_exit_status(error.get(), &status)) return status;
  const std::string frames = backtrace(*error, code_shift);
  if (frames.empty()) {  // refused before its first instruction: the limits, or the host's memory
    return fail(ErrorCode::out_of_memory, fmt::format("The program cannot be started: {}.", describe(*error)));
  }
  return fail(ErrorCode::guest_trap, fmt::format("The guest was ended: {}.{}", describe(*error), frames));
}

Result<void> Instance::State::instantiate(const Linkage& linkage) {
  const MemorySlot slot(*region);
  DW_TRY(run([&](wasm_trap_t** trap) -> wasmtime_error_t* {
    return wasmtime_instance_pre_instantiate(linkage.handle(), context, &instance, trap);
  }));
  globals.emplace(context, instance, program->facts().globals);
  return {};
}

Result<void> Instance::State::run_start() {
  if (!program->facts().has_start) return {};
  DW_TRY_ASSIGN(const ExportedFunction* start, find(kStartExport));
  std::int32_t ignored = 0;
  DW_TRY_ASSIGN(const auto exited, call(*start, {}, ignored));
  if (exited) {
    return fail(ErrorCode::guest_trap, fmt::format("The guest's start function exited with status {}.", *exited));
  }
  return {};
}

Result<const ExportedFunction*> Instance::State::find(std::string_view name) {
  if (const auto known = functions.find(name); known != functions.end()) return &known->second;
  wasmtime_extern_t item;
  if (!wasmtime_instance_export_get(context, &instance, name.data(), name.size(), &item) ||
      item.kind != WASMTIME_EXTERN_FUNC) {
    return not_exported(name);
  }
  const WasmFunctypeHandle type(wasmtime_func_type(context, &item.of.func));
  const wasm_valtype_vec_t& parameters = *wasm_functype_params(type.get());
  const wasm_valtype_vec_t& results = *wasm_functype_results(type.get());
  if (!all_i32(parameters) || !all_i32(results) || results.size > 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The function \"{}\" does not take i32 parameters and give at most one i32 result.",
                            printable(name)));
  }
  const ExportedFunction function{item.of.func, parameters.size, results.size == 1};
  return &functions.emplace(name, function).first->second;
}

std::optional<wasmtime_memory_t> Instance::State::exported_memory() {
  constexpr std::string_view kName = "memory";
  wasmtime_extern_t item;
  if (!wasmtime_instance_export_get(context, &instance, kName.data(), kName.size(), &item)) return std::nullopt;
  if (item.kind == WASMTIME_EXTERN_MEMORY) return item.of.memory;
  wasmtime_extern_delete(&item);
  return std::nullopt;
}

Result<std::optional<int>> Instance::State::call(const ExportedFunction& function,
                                                 std::span<const std::int32_t> arguments, std::int32_t& result) {
  std::vector<wasmtime_val_t> values;
  values.reserve(arguments.size());
  for (std::int32_t argument : arguments) values.push_back({.kind = WASMTIME_I32, .of = {.i32 = argument}});
  wasmtime_val_t returned{.kind = WASMTIME_I32, .of = {.i32 = 0}};
  auto exited = run([&](wasm_trap_t** trap) {
    return wasmtime_func_call(context, &function.handle, values.data(), values.size(), &returned,
                              function.has_result ? 1 : 0, trap);
  });
  result = returned.of.i32;
  return exited;
}

Result<std::unique_ptr<Instance>> Instance::create(std::shared_ptr<const Program> program,
                                                   const InstanceOptions& options) {
  DW_TRY_ASSIGN(const Linkage* linkage, program->link(options.functions));
  const auto& image = program->first_image();
  if (image == nullptr) return fail(ErrorCode::invalid_argument, "The program has no linear memory of its own.");
  DW_TRY_ASSIGN(auto memory, Region::create_over(image, linear_memory_options(image->size())));
  DW_TRY_ASSIGN(auto made, prepare(std::move(program), *linkage, std::move(memory), options));
  DW_TRY(made->state_->run_start());
  const bool initializes = made->state_->program->kind() != ProgramKind::command;
  if (initializes && made->has_export("_initialize")) DW_TRY(made->call("_initialize"));
  return made;
}

Result<std::unique_ptr<Instance>> Instance::resume(std::shared_ptr<const Program> program, InstanceState state,
                                                   const InstanceOptions& options) {
  DW_TRY_ASSIGN(const Linkage* linkage, program->link(options.functions));
  if (!program->freezable()) return fail(ErrorCode::unsupported, program->freeze_obstacle());
  DW_TRY(check_memory(*program, state.memory.get()));
  DW_TRY_ASSIGN(auto made, prepare(std::move(program), *linkage, std::move(state.memory), options));
  DW_TRY(made->state_->globals->write(state.globals));
  return made;
}

Result<std::unique_ptr<Instance>> Instance::prepare(std::shared_ptr<const Program> program, const Linkage& linkage,
                                                    std::unique_ptr<Region> memory, const InstanceOptions& options) {
  if (memory->size() > options.limits.memory_bytes) {
    return fail(ErrorCode::out_of_memory, fmt::format("The program cannot be started: its memory ({} bytes) is more "
                                                      "than its limit ({}).",
                                                      memory->size(), options.limits.memory_bytes));
  }
  if (options.on_memory) options.on_memory(*memory);
  std::unique_ptr<Instance> made(new Instance(std::make_unique<State>(std::move(program), std::move(memory), options)));
  if (linkage.uses_wasi()) DW_TRY(set_wasi(made->state_->context, options.wasi));
  made->state_->folders = options.wasi.directories.size();
  DW_TRY(made->state_->instantiate(linkage));
  return made;
}

Instance::Instance(std::unique_ptr<State> state) : state_(std::move(state)) {}
Instance::~Instance() = default;

Region& Instance::memory() noexcept { return *state_->region; }

std::vector<WasmValue> Instance::globals() const { return state_->globals->read(); }

std::optional<Determinism> Instance::determinism() const { return state_->determinism; }

Result<std::uint32_t> Instance::open_files() {
  State& state = *state_;
  if (state.folders == 0 || std::ranges::find(state.program->imports(), kPathOpen) == state.program->imports().end()) {
    return 0;
  }
  if (!state.file_count) {
    const auto memory = state.exported_memory();
    if (!memory) return 0;
    DW_TRY_ASSIGN(const auto function, state.program->engine().file_count().add_to(state.context, *memory));
    state.file_count = {function, 2, true};
  }
  const auto [given, end] = FileCount::arguments(state.folders);
  std::int32_t count = 0;
  DW_TRY(state.call(*state.file_count, std::array{given, end}, count));
  return static_cast<std::uint32_t>(count);
}

bool Instance::has_export(std::string_view name) const {
  if (name.starts_with(kReservedPrefix)) return false;
  wasmtime_extern_t item;
  if (!wasmtime_instance_export_get(state_->context, &state_->instance, name.data(), name.size(), &item)) return false;
  wasmtime_extern_delete(&item);
  return true;
}

Result<std::int32_t> Instance::call(std::string_view name, std::span<const std::int32_t> arguments) {
  if (name.starts_with(kReservedPrefix)) return not_exported(name);
  DW_TRY_ASSIGN(const ExportedFunction* function, state_->find(name));
  if (arguments.size() != function->parameters) {
    return fail(ErrorCode::invalid_argument, fmt::format("The function \"{}\" was given {} arguments, but takes {}.",
                                                         printable(name), arguments.size(), function->parameters));
  }
  std::int32_t result = 0;
  DW_TRY_ASSIGN(const auto exited, state_->call(*function, arguments, result));
  if (exited) {
    return fail(ErrorCode::guest_trap, fmt::format("The guest exited with status {} instead of returning from \"{}\".",
                                                   *exited, printable(name)));
  }
  return result;
}

Result<int> Instance::run_command() {
  DW_TRY_ASSIGN(const ExportedFunction* start, state_->find("_start"));
  if (start->parameters != 0) return fail(ErrorCode::invalid_argument, "The program's _start takes parameters.");
  std::int32_t ignored = 0;
  DW_TRY_ASSIGN(const auto exited, state_->call(*start, {}, ignored));
  return exited.value_or(0);
}

void Instance::interrupt() noexcept { state_->watch.interrupt(); }
void Instance::stop() noexcept { state_->watch.stop(); }
bool Instance::interrupted() const noexcept { return state_->watch.interrupted(); }

}  // namespace driftwood
