// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel's livepatch core tells and takes through files
// (Documentation/ABI/testing/sysfs-kernel-livepatch; patch_state in
// Documentation/filesystems/proc.rst).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::live {

// Where the running machine's files are; tests give a directory of their own.
struct Machine {
  fs::path sys = "/sys";
  fs::path proc = "/proc";
  fs::path log = "/dev/kmsg";
};

struct RedirectedFunction {
  std::string name;
  std::uint32_t sympos = 0;  // as the kernel shows it: 1 also where the name is unique
};

struct PatchedObject {
  std::string name;      // "vmlinux" or a module
  bool patched = false;  // false for a module that is not loaded yet
  std::vector<RedirectedFunction> functions;
};

struct LoadedPatch {
  std::string name;
  bool enabled = false;  // while it is in transition: where the transition goes
  bool transition = false;
  std::vector<PatchedObject> objects;  // "vmlinux" first
};

// A task that a transition still waits for.
struct BlockingTask {
  int pid = 0;
  int tid = 0;
  std::string comm;
  std::string state;  // "S (sleeping)"
  std::vector<std::string>
      stack;  // kernel frames, innermost first; empty without the right to read
};

bool has_livepatch(const Machine& machine);

// All patches that the core knows, by name. no-livepatch where the kernel has no livepatch core.
Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine);

// That patch, or nothing where the core does not know it (any more).
Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name);

// The tasks whose patch state is not yet `patched`; empty where no transition is under way.
std::vector<BlockingTask> blocking_tasks(const Machine& machine, bool patched);

// "PID COMM in FUNCTION, ..." for an error, at most `limit` tasks and how many more there are.
std::string describe(const std::vector<BlockingTask>& tasks, std::size_t limit);

// Turns the patch on or off; in the middle of its transition this reverses it.
Status set_enabled(const Machine& machine, const std::string& name, bool enabled);

// A module's name as the kernel spells it is loaded, whatever it is.
bool module_loaded(const Machine& machine, const std::string& name);
// How many use the module; nothing where it is not loaded.
std::optional<long> module_references(const Machine& machine, const std::string& name);

}  // namespace suture::live
