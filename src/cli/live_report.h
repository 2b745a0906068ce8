// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the commands about the running machine have in common.
#pragma once

#include <string>

#include "cli/command.h"
#include "live/load.h"
#include "live/status.h"

namespace suture::cli {

// "enabled", "enabling", "disabling" or "disabled".
std::string state_word(const machine::LoadedPatch& patch);
Json live_json(const machine::LoadedPatch& patch);
Json live_json(const machine::BlockingTask& task);
Json live_json(const check::Check& check);
Json live_json(const machine::Attachment& attachment);

// The task, why it is in the way of a transition of that model, and its stack below.
std::string task_text(const machine::BlockingTask& task, std::string_view model);

// "3 min 20 s", "12 s"
std::string duration_text(double seconds);

// "; the machine stood still for 1.2 ms", or nothing where it did not.
std::string pause_text(const std::optional<long>& nanoseconds);

// Modules that can never be removed.
Json staying_json(const live::LoadOutcome& outcome);
std::string staying_text(const live::LoadOutcome& outcome);

// Tells of a transition that takes time, on standard error.
live::TransitionWatcher transition_watcher();

// --deadline, --signal-after.
void add_patience(const Command& command, live::Patience& patience);

}  // namespace suture::cli
