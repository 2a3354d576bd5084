// Owns a C library's handle through its own free function.
#pragma once

#include <memory>

namespace driftwood {

template <auto Free>
struct HandleDeleter {
  template <typename T>
  void operator()(T* handle) const noexcept {
    Free(handle);
  }
};

/// `using Buffer = Handle<ggml_backend_buffer, ggml_backend_buffer_free>;`
template <typename T, auto Free>
using Handle = std::unique_ptr<T, HandleDeleter<Free>>;

}  // namespace driftwood
