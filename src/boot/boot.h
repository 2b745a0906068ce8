// SPDX-License-Identifier: GPL-2.0-or-later
//
// Applying what is installed: at boot, by suture.service, or by hand.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "boot/guard.h"
#include "boot/store.h"
#include "live/load.h"
#include "machine/sysfs.h"

namespace suture::boot {

struct ApplyOptions {
  bool retry = false;      // although the machine died with these patches
  live::LoadOptions load;  // `replace`: also from patches that are not installed
};

struct AppliedPatch {
  std::string name;
  bool was_loaded = false;  // before
  double transition_seconds = 0;
  std::vector<std::string> removed;  // modules of patches that it replaced
};

struct ApplyOutcome {
  std::string release;
  std::string nothing;  // why there was nothing to apply; empty where there was
  std::vector<AppliedPatch> applied;
  std::vector<std::string> superseded;  // a cumulative patch that came later has taken over
  std::vector<Error> failures;          // of patches that could not be applied
};

// The latest cumulative patch that loads, then what was installed after it. One that cannot be
// loaded does not keep the others from it. boot-guard, untrusted-file, bad-config, and what raising
// the guard gives: then nothing is applied, since nothing would stop it from doing so again.
Result<ApplyOutcome> apply_installed(const machine::Machine& machine, const Store& store,
                                     const ApplyOptions& options);

// Suture's core as boot would load it for that release: it is the one file of root's that is looked
// for (live::installed_core). no-core, untrusted-file.
Result<fs::path> core_for_boot(const machine::Machine& machine, const Store& store,
                               const std::string& release);

// The machine is well: lowers the guard that this boot raised. True where it did. busy while
// patches are being applied: nobody knows yet.
Result<bool> confirm(const machine::Machine& machine, const Store& store);

// Why the next apply would refuse; nothing where it would not.
std::optional<Error> held_back(const machine::Machine& machine, const std::string& release,
                               const Guard& guard, const std::vector<InstalledPatch>& patches);

// The same of this machine as it is: also what keeps the list or the guard from being read.
std::optional<Error> held_back(const machine::Machine& machine, const Store& store);

// The kernel has that patch turned on.
bool patch_enabled(const machine::Machine& machine, const std::string& name);

// `suture=off` stands on the kernel's command line.
bool switched_off(const machine::Machine& machine);

}  // namespace suture::boot
