#include <driftwood/version.hpp>

namespace driftwood::v1 {

const char* library_version() noexcept { return DRIFTWOOD_VERSION; }

}  // namespace driftwood::v1
