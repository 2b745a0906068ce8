// SPDX-License-Identifier: GPL-2.0-or-later
//
// Putting patch modules into the running kernel and taking them out again, by the kernel's own
// livepatch core. Every way out of these functions leaves the machine in a state that the error
// names: not loaded, in transition (which way), or loaded.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "live/sysfs.h"

namespace suture::live {

struct LoadOptions {
  double timeout = 60;  // seconds that the transition may take
};

struct LoadOutcome {
  std::string name;               // the module's
  double transition_seconds = 0;  // from the module's start to the end of the transition
};

// wrong-kernel, bad-module, busy (it is loaded already, or another transition is under way),
// load-failed with the kernel's own words, transition-incomplete with the tasks in the way.
Result<LoadOutcome> load(const Machine& machine, const fs::path& module,
                         const LoadOptions& options);

// Takes the patch back and its module out; reverses a transition that is still under way. A patch
// that a later one replaced is only removed. not-loaded, busy, transition-incomplete.
Result<LoadOutcome> unload(const Machine& machine, const std::string& name,
                           const LoadOptions& options);

// Inserts any module that is no livepatch; one that is there already is fine.
Status insert_module(const Machine& machine, const fs::path& module);
// Removes a module that nothing uses.
Status remove_module(const std::string& name);

}  // namespace suture::live
