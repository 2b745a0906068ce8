// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch that changed more than code, by callbacks or shadow variables, may only be
// followed by one that knows what was done.
//
// Method: the kernel's own four rules. A state that nothing in force modifies is always welcome;
// one that is modified already may be modified again at the same or a higher version; a patch that
// replaces all others must carry every state in force; one that does not may leave them alone.
//
// Invariant: the verdict is the kernel's, also where its rules look odd: two entries of one id in a
// patch count by the first.
#include "module/states.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::module {

PatchStates states_of(const Metadata& metadata) {
  return PatchStates{.name = metadata.name, .replace = metadata.replace, .states = metadata.states};
}

std::optional<Error> judge_states(const PatchStates& incoming,
                                  const std::vector<PatchStates>& in_force) {
  for (const PatchStates& patch : in_force) {
    for (const SystemState& old : patch.states) {
      auto carried = std::ranges::find(incoming.states, old.id, &SystemState::id);
      if (carried == incoming.states.end() && incoming.replace) {
        return Error{Code::state_conflict, incoming.name,
                     fmt::format("it takes over from '{}' without its system state {} (version {})",
                                 patch.name, old.id, old.version),
                     fmt::format("carry the state {} on in the patch, or unload {} first", old.id,
                                 patch.name)};
      }
      if (carried != incoming.states.end() && carried->version < old.version) {
        return Error{
            Code::state_conflict, incoming.name,
            fmt::format("it knows the system state {} at version {}, and '{}' brought it to {}",
                        old.id, carried->version, patch.name, old.version),
            fmt::format("use a patch as new as {}, or unload that first", patch.name)};
      }
    }
  }
  return std::nullopt;
}

}  // namespace suture::module
