//! Makes one static library of Wasmtime's C API: every symbol that the crate exports to C is kept.
pub use wasmtime_c_api::*;
