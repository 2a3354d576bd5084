// One of ggml's back ends as a module: a shared object that is loaded when a device of its kind is first asked for.
//
// It brings a ggml-base of its own, of the same version as this program's, so that what the two share has one layout.
#pragma once

#include <ggml-backend.h>

#include <string_view>

#include "core/error.hpp"

namespace driftwood {

/// Loads the module of a kind of device ("Vulkan", as it is said in sentences): `installed`, a name that is looked for
/// beside what the program's run path names, else the file `built`. It stays loaded. Any thread, once for each module.
/// unavailable: it, a library that it needs or a device for it is not there; incompatible: it is of another ggml.
Result<ggml_backend_reg_t> load_ggml_module(std::string_view kind, const char* installed, const char* built);

/// The registry's device of that number. unavailable: the module does not use it.
Result<ggml_backend_dev_t> device_of_module(std::string_view kind, ggml_backend_reg_t registry, std::size_t number);

}  // namespace driftwood
