// Tells one start of the machine from another. Internal to src/snapshot.
#pragma once

#include <string>

namespace driftwood {

/// 16 hexadecimal digits, the same for all processes until the machine starts anew; empty where the system does not
/// tell.
std::string boot_id();

}  // namespace driftwood
