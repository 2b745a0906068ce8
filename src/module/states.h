// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which patches may follow which, by the system states that they modify
// (Documentation/livepatch/system-state.rst; klp_is_patch_compatible in kernel/livepatch/state.c).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "module/metadata.h"

namespace suture::module {

struct PatchStates {
  std::string name;
  bool replace = false;
  std::vector<SystemState> states;
};

PatchStates states_of(const Metadata& metadata);

// state-conflict, naming the state and the patch, where the kernel would not take `incoming` while
// `in_force` are loaded: it would lower the version of a state, or it replaces all other patches
// and lacks a state that one of them modified.
std::optional<Error> judge_states(const PatchStates& incoming,
                                  const std::vector<PatchStates>& in_force);

}  // namespace suture::module
