// How many cores this process may use.
#pragma once

namespace driftwood {

/// Cores in the process's affinity mask where the system has one, else all; at least 1.
int host_cores();

}  // namespace driftwood
