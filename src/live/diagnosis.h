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

#include "live/boot.h"
#include "live/signing_policy.h"
#include "live/status.h"

namespace suture::live {

struct TaintFlag {
  char letter = '?';  // Documentation/admin-guide/tainted-kernels.rst
  std::string meaning;
};

struct InstalledState {
  InstalledPatch patch;
  bool loaded = false;
  std::optional<Error> wrong;  // why it would not be loaded
};

struct InstalledRelease {
  std::string release;
  std::vector<InstalledState> patches;
  Guard guard;
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
  SigningFacts signing;
  std::vector<TaintFlag> taint;
  MachineStatus status;  // empty where there is no core
  std::vector<InstalledRelease> installed;
  std::vector<Space> space;
  std::vector<std::string> log;
  std::vector<Error> problems;  // what is wrong, worst first
};

Diagnosis diagnose(const Machine& machine, const Store& store);

// The flags of /proc/sys/kernel/tainted, lowest first.
std::vector<TaintFlag> taint_flags(std::uint64_t bits);

}  // namespace suture::live
