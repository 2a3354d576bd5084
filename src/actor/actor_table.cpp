#include "actor/actor_table.hpp"

#include <algorithm>

namespace driftwood {

ActorStatus ActorRecord::status() const {
  ActorStatus told;
  told.id = id();
  told.parent = parent();
  told.name = options.name;
  told.program_name = options.program_name;
  told.program = program->hash();
  told.state = ended()        ? ActorState::ended
               : frozen       ? ActorState::frozen
               : current != 0 ? ActorState::running
                              : ActorState::at_rest;
  told.waiting = mailbox.waiting();
  if (actor != nullptr) told.memory_bytes = actor->memory().size();
  if (frozen) told.memory_bytes = frozen->memory->size();
  told.ending = ending;
  return told;
}

void ActorTable::insert(std::shared_ptr<ActorRecord> record) {
  const ActorId id = record->id();
  records_.emplace(id, std::move(record));
}

std::shared_ptr<ActorRecord> ActorTable::find(ActorId id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : found->second;
}

void ActorTable::erase(ActorId id) {
  records_.erase(id);
  std::erase(ended_, id);
}

void ActorTable::retire(const ActorRecord& record) {
  ended_.push_back(record.id());
  if (ended_.size() <= ended_kept_) return;
  records_.erase(ended_.front());
  ended_.pop_front();
}

std::vector<std::shared_ptr<ActorRecord>> ActorTable::all() const {
  std::vector<std::shared_ptr<ActorRecord>> records;
  records.reserve(records_.size());
  for (const auto& [id, record] : records_) records.push_back(record);
  return records;
}

}  // namespace driftwood
