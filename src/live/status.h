// SPDX-License-Identifier: GPL-2.0-or-later
//
// The whole picture of live patching on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "live/records.h"
#include "machine/attachments.h"
#include "machine/loaded_metadata.h"
#include "machine/sysfs.h"
#include "machine/tasks.h"
#include "module/metadata.h"

namespace suture::live {

struct PatchStatus {
  machine::LoadedPatch patch;
  std::optional<module::Metadata> metadata;  // of a patch that Suture made
  std::optional<Record> record;              // what a process of Suture has undertaken for it
  bool keeper_alive = false;                 // that process
  std::optional<std::int64_t> loaded_at;     // seconds since 1970; nothing: Suture did not load it
};

struct MachineStatus {
  std::string release;
  std::vector<PatchStatus> patches;  // by name
  std::vector<machine::BlockingTask>
      blocking;                              // of the one in transition, as far as they are named
  std::size_t waiting = 0;                   // how many they are in all
  machine::Attachments attached;             // to functions of patches that are in force
  std::vector<std::string> changed_modules;  // patched, and not those that the patch was built for
  // Modules of patches that their core has dropped: those that can be removed, and the others.
  std::vector<std::string> dropped;
  std::vector<machine::Staying> staying;
  // "NAME VERSION" of each patch that is in force, by name.
  std::string effective;
  std::vector<std::string> cves;  // fixed by them, sorted
};

// In force: turned on, and no task runs old code any more.
bool in_force(const machine::LoadedPatch& patch);

// no-livepatch. Tasks are only looked at where a transition is under way.
Result<MachineStatus> machine_status(const machine::Machine& machine);

// What people should know of the patch beyond its state: a trial and how long it has left, a load
// or a keeper that was killed. Empty where there is nothing.
std::string undertaking_text(const PatchStatus& status);

}  // namespace suture::live
