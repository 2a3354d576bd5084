// What the sanitizers' run times ask the program for when they start. Every program of a build with DRIFTWOOD_SANITIZE
// has this in it, compiled without sanitizers, since it is called before they are ready. The environment
// (ASAN_OPTIONS and the like) is read after it.

#define DW_ASKED_BY_RUN_TIME extern "C" __attribute__((visibility("default"))) const char*

/// Wasmtime brings its own handler for the faults that it catches. And who asks for more memory than there is shall be
/// answered as the system answers.
DW_ASKED_BY_RUN_TIME __asan_default_options() {
  return "allow_user_segv_handler=1:handle_segv=0:handle_sigill=0:handle_sigfpe=0:detect_stack_use_after_return=0"
         ":allocator_may_return_null=1";
}

DW_ASKED_BY_RUN_TIME __ubsan_default_options() { return "print_stacktrace=1"; }

DW_ASKED_BY_RUN_TIME __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1";
}

/// libwasmtime.so and ggml are built without ThreadSanitizer, so that it cannot see their synchronization: for ggml,
/// the barriers of its thread pool, whose threads run operators of ggml's and of ours. And Wasmtime's handler of a
/// guest's faults allocates; the fault is synchronous, in compiled code that holds no lock.
DW_ASKED_BY_RUN_TIME __tsan_default_suppressions() {
  return "called_from_lib:libwasmtime.so\n"
         "signal:libwasmtime.so\n"
         "race:ggml_graph_compute_thread\n"
         "race:ggml_compute_forward_\n";
}
