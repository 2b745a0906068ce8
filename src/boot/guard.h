// SPDX-License-Identifier: GPL-2.0-or-later
//
// The boot guard: a patch that kills the machine must not kill it again at the next boot. It is
// raised before patches are applied, and lowered once the machine has stayed up for a while, or
// shuts down in order. One that is found raised by an earlier boot tells that the machine died.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "boot/store.h"
#include "machine/sysfs.h"

namespace suture::boot {

struct TriedPatch {
  std::string name, sha256;
};

struct Guard {
  bool raised = false;
  std::string boot_id;  // of the boot that raised it (/proc/sys/kernel/random/boot_id)
  std::string time;     // when, UTC: "2026-11-25 19:40:00"
  std::vector<TriedPatch> patches;
};

// The boot that this machine is in.
std::string boot_id(const machine::Machine& machine);

// Makes the guard's file where it is missing; its room on the disk is taken then, so that a full
// disk cannot keep it from being raised.
Status prepare_guard(const Store& store, const std::string& release);

// Not raised where there is none. A file that cannot be understood counts as raised by an earlier
// boot, over patches that are not known.
Result<Guard> read_guard(const Store& store, const std::string& release);

// On the disk when it returns.
Status write_guard(const Store& store, const std::string& release, const Guard& guard);

Status remove_guard(const Store& store, const std::string& release);

}  // namespace suture::boot
