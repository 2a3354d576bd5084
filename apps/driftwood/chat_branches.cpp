#include "chat_branches.hpp"

#include <algorithm>
#include <utility>

#include "snapshot_host.hpp"

namespace driftwood::cli {
namespace {

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 &&
         std::ranges::all_of(name, [](unsigned char c) { return c > ' ' && c != 0x7F; });
}

}  // namespace

ChatBranches::ChatBranches(std::unique_ptr<ChatSession> session, Thaw thaw, ProgramFile program)
    : session_(std::move(session)), thaw_(std::move(thaw)), program_(std::move(program)) {
  began_anew();
}

void ChatBranches::checkpoint() {
  if (obstacle_) return;
  auto snapshot = session_->actor().freeze();
  if (snapshot) {
    branches_[current_].push_back(*std::move(snapshot));
  } else if (session_->alive()) {
    obstacle_ = std::move(snapshot).error();
  }
}

void ChatBranches::turn_done() { checkpoint(); }

void ChatBranches::began_anew() {
  branches_[current_].clear();
  checkpoint();
}

Result<void> ChatBranches::check_freezable() const {
  if (obstacle_) return std::unexpected(*obstacle_);
  return {};
}

Result<void> ChatBranches::rewind(std::size_t turns) {
  DW_TRY(check_freezable());
  std::vector<Snapshot>& checkpoints = branches_[current_];
  const std::size_t most = checkpoints.size() - 1;
  if (turns == 0 || turns > most) {
    return fail(ErrorCode::invalid_argument, "The chat cannot go back by " + std::to_string(turns) +
                                                 " turns; this conversation has " + std::to_string(most) +
                                                 " since it began or was resumed.");
  }
  DW_TRY_ASSIGN(auto session, thaw_(checkpoints[most - turns]));
  session_ = std::move(session);
  checkpoints.resize(most - turns + 1);
  return {};
}

Result<void> ChatBranches::fork(std::string name) {
  DW_TRY(check_freezable());
  for (std::size_t number = branches_.size() + 1; name.empty(); ++number) {
    const std::string next = "branch-" + std::to_string(number);
    if (!branches_.contains(next)) name = next;
  }
  if (!is_name(name) || branches_.contains(name)) {
    return fail(ErrorCode::invalid_argument,
                "The name \"" + name + "\" is taken by a branch, or is not 1 to 64 bytes without spaces.");
  }
  branches_[name] = branches_[current_];
  current_ = std::move(name);
  return {};
}

Result<void> ChatBranches::switch_to(const std::string& name) {
  DW_TRY(check_freezable());
  const auto found = branches_.find(name);
  if (found == branches_.end()) {
    return fail(ErrorCode::not_found, "There is no branch \"" + name + "\"; /branches lists them.");
  }
  if (name == current_) return {};
  DW_TRY_ASSIGN(auto session, thaw_(found->second.back()));
  session_ = std::move(session);
  current_ = name;
  return {};
}

std::vector<ChatBranches::Branch> ChatBranches::list() const {
  std::vector<Branch> list;
  for (const auto& [name, checkpoints] : branches_) {
    list.push_back({name, checkpoints.empty() ? 0 : checkpoints.size() - 1, name == current_});
  }
  return list;
}

Result<SnapshotId> ChatBranches::save(const std::string& label) {
  DW_TRY(check_freezable());
  if (!store_) {
    DW_TRY_ASSIGN(store_, open_snapshots());
  }
  DW_TRY_ASSIGN(const SnapshotId id, save_actor(*store_, session_->actor(), label, program_));
  // What goes on from this checkpoint has the saved one as its parent.
  branches_[current_].pop_back();
  checkpoint();
  return id;
}

}  // namespace driftwood::cli
