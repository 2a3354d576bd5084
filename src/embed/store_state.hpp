// What is behind a public Store. Internal to src/embed.
#pragma once

#include <driftwood/store.hpp>

#include <memory>

#include "snapshot/store.hpp"

namespace driftwood::v1 {

struct Store::State {
  std::unique_ptr<driftwood::Store> store;
};

}  // namespace driftwood::v1
