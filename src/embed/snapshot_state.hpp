// What is behind a public Snapshot. Internal to src/embed.
#pragma once

#include <driftwood/snapshot.hpp>

#include <chrono>
#include <vector>

#include "snapshot/snapshot.hpp"

namespace driftwood::v1 {

struct Snapshot::State {
  explicit State(driftwood::Snapshot given);

  const driftwood::Snapshot frozen;
  std::vector<Model> models;
};

std::chrono::system_clock::time_point time_of(std::int64_t ns_since_1970);

}  // namespace driftwood::v1
