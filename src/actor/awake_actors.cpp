#include "actor/awake_actors.hpp"

#include <utility>

namespace driftwood {

void AwakeActors::add(Place& place, std::size_t bytes) {
  if (!place.counted) ++awake_;
  bytes_ += bytes - (place.counted ? place.bytes : 0);
  place.counted = true;
  place.bytes = bytes;
}

void AwakeActors::remove(Place& place) {
  stir(place);
  if (!place.counted) return;
  --awake_;
  bytes_ -= place.bytes;
  place.counted = false;
}

void AwakeActors::rest(Place& place, std::shared_ptr<ActorRecord> record) {
  stir(place);
  place.rest = ++last_rest_;
  resting_.emplace(place.rest, Resting{std::move(record), &place});
}

void AwakeActors::stir(Place& place) {
  if (place.rest != 0) resting_.erase(std::exchange(place.rest, 0));
}

std::shared_ptr<ActorRecord> AwakeActors::take_surplus() {
  const bool too_many = limits_.actors != 0 && awake_ > limits_.actors;
  const bool too_large = limits_.bytes != 0 && bytes_ > limits_.bytes;
  if (resting_.empty() || (!too_many && !too_large)) return nullptr;
  Resting oldest = std::move(resting_.begin()->second);
  remove(*oldest.place);
  return std::move(oldest.record);
}

}  // namespace driftwood
