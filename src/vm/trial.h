// SPDX-License-Identifier: GPL-2.0-or-later
//
// Trying a patch module on the stock kernel it is for: boot, or go on from a booted guest that is
// kept in the kernel's derived directory; load, look, take back, and judge.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "guest/guest_plan.h"
#include "kernel/kernel.h"

namespace suture::vm {

struct TrialPatch {
  fs::path module;
  std::string name;                  // as the kernel spells it
  std::vector<std::string> targets;  // the modules that it patches
};

struct TrialOptions {
  // Tried one after the other in one guest. Where there are none, only the script runs, once.
  std::vector<TrialPatch> patches;
  fs::path core;         // suture.ko for that kernel, loaded first; empty where nothing needs it
  std::string model;     // that the patches are loaded by; empty: what their core would do
  fs::path program;      // this program, process 1 of the guest
  fs::path script;       // run with before, patched, reverted; may be empty
  fs::path load_script;  // runs in the background all the while; may be empty
  std::vector<fs::path> files;  // put into the guest's /test
  unsigned rounds = 1;
  guest::ModuleOrder module_order = guest::ModuleOrder::before;
  std::string arguments;  // of the kernel; may be empty
  double deadline = 300;
  double transition_timeout = 120;
  unsigned memory_mib = 1024;
  unsigned cpus = 2;
  bool fresh_boot = false;  // also where a booted guest is kept
};

struct TrialPhase {
  std::string patch;
  std::string name;
  unsigned round = 0;  // from 1; 0 for what is not part of a round
  bool ok = false;
  double seconds = 0;
  std::string model;   // of a load: by which the patch came,
  long pause_ns = 0;   // and how long the machine stood still for it
  std::string output;  // of the script
  std::string reason;  // why it failed
};

struct LogLine {
  std::string patch;
  std::string phase;
  double seconds = 0;  // since the guest's boot
  std::string text;
};

struct PatchVerdict {
  std::string name;
  bool passed = false;
  std::string reason;             // why not
  double transition_seconds = 0;  // the longest way to the patch of all rounds
};

struct TrialReport {
  bool passed = false;
  std::string reason;                  // why not
  std::vector<PatchVerdict> verdicts;  // in the order of the patches
  std::string release;                 // of the kernel that ran, as its log says; may be empty
  double transition_seconds = 0;       // the longest way to the patch of all rounds
  std::string model;                   // of the last load; empty where nothing was loaded
  long pause_ns = 0;                   // the longest that the machine stood still for a load
  bool restored = false;               // the guest went on from a kept one that had booted before
  double boot_seconds = 0;             // wall time until the guest's process 1 spoke
  double seconds = 0;                  // wall time in all
  std::vector<TrialPhase> phases;
  std::vector<LogLine> suspicious;
  std::string log;  // the guest's whole kernel log
  std::string console;
};

struct TrialWatcher {
  std::function<void(std::string_view text)> progress;
  std::function<void(const std::string& phase)> started;
  std::function<void(const std::string& text)> output;
  std::function<void(const TrialPhase& phase)> finished;
};

// A report whenever the guest came up, whatever it says; an error where no verdict can be given:
// guest-failed, missing-tool, not-in-kernel (a target that the kernel has no module of),
// interrupted.
Result<TrialReport> try_modules(const kernel::Kernel& kernel, const TrialOptions& options,
                                const TrialWatcher& watcher);

// The files of those modules and of all that they depend on, each after what it depends on.
Result<std::vector<fs::path>> load_order(const fs::path& modules,
                                         const std::vector<std::string>& targets);

}  // namespace suture::vm
