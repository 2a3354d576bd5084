// Error numbers of WASI preview 1. Internal to src/wasm.
// Source: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#errno
#pragma once

#include <cstdint>

namespace driftwood::wasi_errno {

inline constexpr std::int32_t kSuccess = 0;
inline constexpr std::int32_t kFault = 21;
inline constexpr std::int32_t kInterrupted = 27;
inline constexpr std::int32_t kInvalid = 28;
inline constexpr std::int32_t kIo = 29;

}  // namespace driftwood::wasi_errno
