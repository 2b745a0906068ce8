// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the cores tell and take through files (Documentation/ABI/testing/sysfs-kernel-livepatch, and
// machine/core.h for what differs), and what sysfs says of modules
// (Documentation/ABI/testing/sysfs-module).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "machine/core.h"

namespace suture::machine {

// Where the running machine's files are; tests give a directory of their own.
struct Machine {
  fs::path sys = "/sys";
  fs::path proc = "/proc";
  fs::path log = "/dev/kmsg";
  fs::path run = "/run/suture";       // records of Suture's own, gone with the next boot
  fs::path modules = "/lib/modules";  // of every release
  // Where systemd looks for units, first match wins (systemd.unit(5)).
  std::vector<fs::path> units = {"/etc/systemd/system", "/run/systemd/system",
                                 "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                 "/lib/systemd/system"};
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
  const Core* core = &livepatch_core;
  bool enabled = false;  // while it is in transition: where the transition goes
  bool transition = false;
  std::string model;  // stop, lazy or hybrid
  // What only Suture's core measures: how long the machine stood still in the last switch, and how
  // long the last transition took that came to its end, nanoseconds.
  std::optional<long> pause_ns, transition_ns;
  std::optional<bool> settled;         // Suture's core: all its redirects go by direct calls
  std::vector<PatchedObject> objects;  // "vmlinux" first
};

// It leads nowhere else when it becomes a part of a path: no slash, not "." or "..".
bool is_plain_name(const std::string& name);
// usage where a name that people gave cannot be a patch's.
Status check_patch_name(const std::string& name);

bool has_core(const Machine& machine, const Core& core);
fs::path core_directory(const Machine& machine, const Core& core);

// All patches that the cores know, by name. no-livepatch where there is no core at all.
Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine);

// That patch, or nothing where no core knows it (any more). no-livepatch.
Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name);

// Turns the patch on or off; in the middle of its transition this reverses it. Nothing happens
// where it is so already. not-loaded, busy.
Status set_enabled(const Machine& machine, const std::string& name, bool enabled);

// Chooses the model of the patch's next transition. not-loaded, busy in the middle of one, usage
// where its core has no choice.
Status set_model(const Machine& machine, const std::string& name, const std::string& model);

// Has the core nudge what the patch's transition waits for; only Suture's core takes this wish.
// not-loaded, no-transition.
Status signal_blocking(const Machine& machine, const std::string& name);

// Ends the patch's transition, whatever the tasks that it waits for are doing. no-transition.
Status force_transition(const Machine& machine, const std::string& name);

// A module's name as the kernel spells it is loaded, whatever it is.
bool module_loaded(const Machine& machine, const std::string& name);
// How many use the module; nothing where it is not loaded.
std::optional<long> module_references(const Machine& machine, const std::string& name);

// The patch modules that are in memory and whose patches their core has dropped: replaced, or
// turned off by hand. Sorted. Those of Suture's core are known by their notes, which root may read.
std::vector<std::string> dropped_modules(const Machine& machine);

// Its release: "6.1.0-56-amd64"; empty where procfs is not there.
std::string running_release(const Machine& machine);
// Of vmlinux or a module, as it is loaded; empty where it does not say.
std::string running_build_id(const Machine& machine, const std::string& object);

}  // namespace suture::machine
