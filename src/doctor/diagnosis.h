// SPDX-License-Identifier: GPL-2.0-or-later
//
// What support asks for first, read from the running machine. Nothing secret is among it: of the
// kernel's command line only the words that matter here, of its log only the lines about the cores,
// modules and faults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "boot/boot.h"
#include "live/status.h"
#include "machine/signing_policy.h"

namespace suture::doctor {

struct TaintFlag {
  char letter = '?';  // Documentation/admin-guide/tainted-kernels.rst
  std::string meaning;
};

struct InstalledState {
  boot::InstalledPatch patch;
  bool loaded = false;
  std::optional<Error> wrong;  // why it would not be loaded
};

struct InstalledRelease {
  std::string release;
  std::vector<InstalledState> patches;
  boot::Guard guard;
};

struct Space {
  std::string path;
  std::uint64_t free_bytes = 0;  // for root
  bool read_only = false;
};

struct Diagnosis {
  std::string release, version, build_id;  // version: as `uname -v` has it
  std::vector<std::string> command_line;
  bool livepatch = false;
  bool core = false;  // Suture's own is loaded
  machine::SigningFacts signing;
  std::vector<TaintFlag> taint;
  live::MachineStatus status;  // empty where there is no core
  std::vector<InstalledRelease> installed;
  std::vector<Space> space;
  std::vector<std::string> log;
  std::vector<Error> problems;  // what is wrong, worst first
};

Diagnosis diagnose(const machine::Machine& machine, const boot::Store& store);

// The flags of /proc/sys/kernel/tainted, lowest first.
std::vector<TaintFlag> taint_flags(std::uint64_t bits);

}  // namespace suture::doctor
