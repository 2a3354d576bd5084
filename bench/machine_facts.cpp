#include "machine_facts.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "memory/region.hpp"

namespace driftwood::bench {
namespace {

/// Processes that wanted to run, on average over the last minute; null where the system does not say.
cli::Json load() {
  double minute = 0;
  if (getloadavg(&minute, 1) != 1) return nullptr;
  return minute;
}

}  // namespace

cli::Json machine_facts() {
  cli::Json facts = cli::to_json(cli::examine_machine());
  facts["memory_bytes"] = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * page_size();
  facts["page_size"] = page_size();
  facts["load"] = load();
  facts["compiler"] = DRIFTWOOD_COMPILER;
  facts["build"] = DRIFTWOOD_BUILD_TYPE;
  facts["versions"] = cli::to_json(cli::versions());
  return facts;
}

}  // namespace driftwood::bench
