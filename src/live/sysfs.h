// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel's livepatch core tells and takes through files
// (Documentation/ABI/testing/sysfs-kernel-livepatch), and what sysfs says of modules
// (Documentation/ABI/testing/sysfs-module).
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
  fs::path run = "/run/suture";       // records of Suture's own, gone with the next boot
  fs::path modules = "/lib/modules";  // of every release
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

bool has_livepatch(const Machine& machine);

// All patches that the core knows, by name. no-livepatch where the kernel has no livepatch core.
Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine);

// That patch, or nothing where the core does not know it (any more).
Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name);

// Turns the patch on or off; in the middle of its transition this reverses it. Nothing happens
// where it is so already. not-loaded, busy.
Status set_enabled(const Machine& machine, const std::string& name, bool enabled);

// Ends the patch's transition, whatever the tasks that it waits for are doing. no-transition.
Status force_transition(const Machine& machine, const std::string& name);

// A module's name as the kernel spells it is loaded, whatever it is.
bool module_loaded(const Machine& machine, const std::string& name);
// How many use the module; nothing where it is not loaded.
std::optional<long> module_references(const Machine& machine, const std::string& name);

// The patch modules that are in memory and whose patches the core has dropped: replaced, or turned
// off by hand. Sorted.
std::vector<std::string> dropped_modules(const Machine& machine);

// Its release: "6.1.0-56-amd64"; empty where procfs is not there.
std::string running_release(const Machine& machine);
// Of vmlinux or a module, as it is loaded; empty where it does not say.
std::string running_build_id(const Machine& machine, const std::string& object);

}  // namespace suture::live
