// The machine and the build that figures belong to. Any thread.
#pragma once

#include "apps/driftwood/machine.hpp"

namespace driftwood::bench {

/// Processor, cores, features of the kernels, memory, system, page size, huge pages, load, compiler, versions.
cli::Json machine_facts();

}  // namespace driftwood::bench
