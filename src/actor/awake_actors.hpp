// The actors of a node that are not frozen: how many, how large, and which of them have rested longest.
//
// Holds no lock; the Node's guards it. Internal to src/actor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace driftwood {

struct ActorRecord;

class AwakeActors {
 public:
  struct Limits {
    std::size_t actors = 0;   ///< 0: none
    std::uint64_t bytes = 0;  ///< 0: none
  };

  /// An actor's, kept in its record.
  struct Place {
    bool counted = false;
    std::size_t bytes = 0;
    std::uint64_t rest = 0;  ///< its number among those at rest; 0: it is not
  };

  explicit AwakeActors(const Limits& limits) : limits_(limits) {}

  /// The actor is awake, with a linear memory of `bytes`; again when that may have changed.
  void add(Place& place, std::size_t bytes);
  /// It is frozen, or has ended.
  void remove(Place& place);
  /// It rests from now on, and may be taken.
  void rest(Place& place, std::shared_ptr<ActorRecord> record);
  /// It does not rest any more.
  void stir(Place& place);
  /// The one that has rested longest, where more are awake than may be; else null. It does not rest any more, and
  /// counts no longer, unless add() says that it stays.
  std::shared_ptr<ActorRecord> take_surplus();

 private:
  struct Resting {
    std::shared_ptr<ActorRecord> record;
    Place* place;  ///< in the record
  };

  Limits limits_;
  std::size_t awake_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t last_rest_ = 0;
  std::map<std::uint64_t, Resting> resting_;
};

}  // namespace driftwood
