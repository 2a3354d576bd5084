#include <driftwood/program.hpp>

#include <utility>

#include "embed/runtime_state.hpp"
#include "embed/status.hpp"

namespace driftwood::v1 {

Program::Program(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}

const std::string& Program::name() const noexcept { return state_->name; }
const Hash& Program::hash() const noexcept { return state_->program->hash(); }
ProgramKind Program::kind() const noexcept { return to_public(state_->program->kind()); }
bool Program::freezable() const noexcept { return state_->program->freezable(); }
const std::string& Program::freeze_obstacle() const noexcept { return state_->program->freeze_obstacle(); }
const std::vector<std::string>& Program::imports() const noexcept { return state_->program->imports(); }

}  // namespace driftwood::v1
