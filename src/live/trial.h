// SPDX-License-Identifier: GPL-2.0-or-later
//
// Patches on trial: taken back at a deadline unless someone accepts them. A keeper sees to that, a
// process in a session of its own that outlives the load and its terminal.
#pragma once

#include <string>

#include "live/records.h"
#include "machine/sysfs.h"

namespace suture::live {

// The hidden command that is the keeper: "suture keep-trial PATCH".
inline constexpr const char* keeper_command = "keep-trial";

// Before the patch is loaded: leaves the record and starts the keeper, so that from then on nothing
// that happens to this process keeps the patch from being taken back. `load_seconds` is what the
// load may take; the trial proper starts with start_trial.
Status prepare_trial(const machine::Machine& machine, const std::string& patch, double load_seconds,
                     double trial_seconds);
// The transition is over: the time runs from now.
Status start_trial(const machine::Machine& machine, const std::string& patch);

// Ends the trial, and the patch stays. not-on-trial where there is none, or it is over.
Status accept(const machine::Machine& machine, const std::string& patch);

// The keeper: returns when the trial is accepted or gone, or the patch has been taken back.
Status keep_trial(const machine::Machine& machine, const std::string& patch);

}  // namespace suture::live
