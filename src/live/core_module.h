// SPDX-License-Identifier: GPL-2.0-or-later
//
// Suture's own core on the running machine: the module suture.ko.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "machine/sysfs.h"

namespace suture::live {

struct CoreState {
  bool loaded = false;
  std::optional<long> abi;    // SUTURE_PATCH_ABI of kmod/include/suture_patch.h
  std::string default_model;  // stop, lazy or hybrid: of patches that are loaded without a wish
  long references = 0;        // how many modules use it
  std::vector<std::string> patches;  // that it has, by name
};

CoreState core_state(const machine::Machine& machine);

// Where the core of a release is looked for at boot: /lib/modules/REL/updates/suture.ko.
fs::path installed_core(const machine::Machine& machine, const std::string& release);
// The commands that put it there.
std::string how_to_install_core(const machine::Machine& machine, const std::string& release);

// busy where it is loaded already, bad-module where that is another module, load-failed,
// not-permitted.
Status insert_core(const machine::Machine& machine, const fs::path& module);

// no-core where it is not loaded, busy while patches use it.
Status remove_core(const machine::Machine& machine);

}  // namespace suture::live
