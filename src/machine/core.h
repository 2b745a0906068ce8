// SPDX-License-Identifier: GPL-2.0-or-later
//
// A core: what redirects functions and runs transitions. The kernel's own livepatch
// (Documentation/ABI/testing/sysfs-kernel-livepatch) and Suture's suture.ko show their patches in
// files of the same names and meanings; what differs between them stands here.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "module/metadata.h"

namespace suture::machine {

struct Core {
  // Of its directory in /sys/kernel; all that it says in the kernel's log begins with it.
  std::string_view name;
  // The one consistency model that it has; empty where each patch's file `model` says it.
  std::string_view model;
  // Which code a task runs is told by its patch_state in /proc. Else the patch's own files tell
  // what is in its way (`blocking`), and take the wish to nudge it (`signal`).
  bool states_in_proc = true;
};

inline constexpr Core livepatch_core{.name = "livepatch", .model = "hybrid"};
inline constexpr Core suture_core{.name = "suture", .states_in_proc = false};
inline constexpr std::array<const Core*, 2> all_cores{&livepatch_core, &suture_core};

// The one that a module is for.
const Core& core_of(const module::Metadata& metadata);

// What a core says in that line of the kernel's log, without its own name; nothing where the line
// is no core's.
std::optional<std::string_view> words_of_a_core(std::string_view line);

}  // namespace suture::machine
