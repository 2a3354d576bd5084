#include "wasm/file_count.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <string_view>

#include "wasm/trap.hpp"

namespace driftwood {

namespace {

/// Standard input, output and error.
constexpr std::size_t kStreams = 3;
/// Things that Wasmtime lets a store have.
constexpr rlim_t kMostDescriptors = 1'000'000;

#ifdef WASMTIME_FEATURE_WAT
// What Wasmtime answers, before it looks at any pointer. fd_prestat_dir_name, for a name of 0 bytes: 8 (badf) where
// there is no descriptor, 54 (notdir) for one that the guest opened and for a stream, else (37, nametoolong) for a
// granted folder. fd_allocate: 58 (notsup) for a file. A granted folder beyond those given has been moved there.
constexpr std::string_view kModule = R"((module
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_allocate" (func $allocate (param i32 i64 i64) (result i32)))
  (import "guest" "memory" (memory 0))
  (export "memory" (memory 0))
  (func (export "count") (param $given i32) (param $end i32) (result i32)
    (local $fd i32) (local $errno i32) (local $count i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $fd) (local.get $end)))
        (local.set $errno (call $name (local.get $fd) (i32.const 0) (i32.const 0)))
        (local.set $count (i32.add (local.get $count)
          (if (result i32) (i32.eq (local.get $errno) (i32.const 54))
            (then
              (if (result i32) (i32.ge_u (local.get $fd) (i32.const 3))
                (then (i32.const 1))
                (else (i32.eq (call $allocate (local.get $fd) (i64.const 0) (i64.const 0)) (i32.const 58)))))
            (else
              (i32.and (i32.ne (local.get $errno) (i32.const 8))
                       (i32.ge_u (local.get $fd) (local.get $given)))))))
        (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
        (br $next)))
    (local.get $count))))";
#endif

std::unexpected<Error> cannot_count(std::string_view reason) {
  return fail(ErrorCode::internal, fmt::format("The guest's open files cannot be counted: {}.", reason));
}

}  // namespace

FileCount::Arguments FileCount::arguments(std::size_t folders) noexcept {
  // A number is taken when all below it are, and each is a file of this process.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = kMostDescriptors;
  return {static_cast<std::int32_t>(kStreams + folders),
          static_cast<std::int32_t>(kStreams + std::min(files.rlim_cur, kMostDescriptors))};
}

Result<const wasmtime_module_t*> FileCount::module() {
  const std::lock_guard lock(mutex_);
  if (module_) return module_.get();
#ifdef WASMTIME_FEATURE_WAT
  WasmBytes binary;
  if (const WasmErrorHandle error(wasmtime_wat2wasm(kModule.data(), kModule.size(), &binary)); error) {
    return cannot_count(describe(*error));
  }
  wasmtime_module_t* made = nullptr;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(binary.data);
  if (const WasmErrorHandle error(wasmtime_module_new(engine_, bytes, binary.size, &made)); error) {
    return cannot_count(describe(*error));
  }
  module_.reset(made);
  return made;
#else
  return cannot_count("Wasmtime was built without its parser of text");
#endif
}

Result<wasmtime_func_t> FileCount::add_to(wasmtime_context_t* context, const wasmtime_memory_t& memory) {
  DW_TRY_ASSIGN(const wasmtime_module_t* code, module());
  const WasmLinkerHandle linker(wasmtime_linker_new(engine_));
  if (const WasmErrorHandle error(wasmtime_linker_define_wasi(linker.get())); error) {
    return cannot_count(describe(*error));
  }
  const wasmtime_extern_t shared{.kind = WASMTIME_EXTERN_MEMORY, .of = {.memory = memory}};
  constexpr std::string_view kGuest = "guest";
  constexpr std::string_view kMemory = "memory";
  if (const WasmErrorHandle error(wasmtime_linker_define(linker.get(), context, kGuest.data(), kGuest.size(),
                                                         kMemory.data(), kMemory.size(), &shared));
      error) {
    return cannot_count(describe(*error));
  }
  wasmtime_instance_t instance;
  wasm_trap_t* raised = nullptr;
  const WasmErrorHandle error(wasmtime_linker_instantiate(linker.get(), context, code, &instance, &raised));
  const WasmTrapHandle trap(raised);
  if (error) return cannot_count(describe(*error));
  if (trap) return cannot_count("its module trapped");
  constexpr std::string_view kCount = "count";
  wasmtime_extern_t count;
  if (!wasmtime_instance_export_get(context, &instance, kCount.data(), kCount.size(), &count)) {
    return cannot_count("its function is missing");
  }
  return count.of.func;
}

}  // namespace driftwood
