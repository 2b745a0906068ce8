// SPDX-License-Identifier: GPL-2.0-or-later
//
// Putting patch modules into the running kernel and taking them out again, by the core that they
// are for. Every way out of these functions leaves the machine in a state that the error names: not
// loaded, in transition (which way), or loaded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "check/checks.h"
#include "live/transition.h"
#include "machine/loaded_metadata.h"
#include "machine/sysfs.h"

namespace suture::live {

struct LoadOptions {
  Patience patience;
  bool revert = true;                   // a load takes the patch back where the deadline passes
  bool replace = false;                 // a load may take over from patches whose fix is lost then
  std::vector<std::string> may_lose;    // and from these in any case
  std::string parameters;               // of the module: "name=value ..."
  std::string model;                    // stop, lazy or hybrid; empty: what the core would do
  std::optional<double> trial_seconds;  // a load is on trial for so long
};

struct LoadOutcome {
  std::string name;                       // the module's
  std::string core, model;                // a load's: that has it, and by which model it came
  std::optional<long> pause_ns;           // a load's: how long the machine stood still, where known
  double transition_seconds = 0;          // from the module's start to the end of the transition
  std::vector<std::string> removed;       // modules of patches that were replaced
  std::vector<machine::Staying> staying;  // those of them, and an unload's own, that can never go
  std::vector<check::Check> warnings;     // a load's
  // A load's: how many of its functions ftrace was seen to lead to the new code; nothing where that
  // cannot be read.
  std::optional<std::size_t> redirected;
};

// fix-lost, where it would take over from a patch whose fix it lacks; wrong-kernel, bad-module,
// busy (it is loaded already, or another transition is under way), load-failed with the kernel's
// own words, transition-incomplete with the tasks in the way and what was done about it; no-core,
// no-livepatch; usage where its core has no choice of models.
Result<LoadOutcome> load(const machine::Machine& machine, const fs::path& module,
                         const LoadOptions& options);

// Takes the patch back and its module out, if it can be freed (module/escapes.h); reverses a
// transition that is still under way. A patch that a later one replaced is only removed.
// not-loaded, busy, transition-incomplete, and usage where its core has no choice of models.
Result<LoadOutcome> unload(const machine::Machine& machine, const std::string& name,
                           const LoadOptions& options);

// Ends the transition that the patch is in, and waits until the kernel has it ended. The way it
// went. not-loaded, no-transition.
Result<machine::LoadedPatch> force(const machine::Machine& machine, const std::string& name);

// Inserts any module that is no livepatch; one that is there already is fine.
Status insert_module(const machine::Machine& machine, const fs::path& module);
// Removes a module that nothing uses.
Status remove_module(const std::string& name);

}  // namespace suture::live
