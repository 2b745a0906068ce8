// SPDX-License-Identifier: GPL-2.0-or-later
//
// What else is attached to the functions that a patch replaces: kprobes
// (Documentation/trace/kprobes.rst, "The kprobes debugfs interface"), users of ftrace
// (Documentation/trace/ftrace.rst, enabled_functions), BPF programs (links of the type tracing, see
// bpf(2)), and fail_function (Documentation/fault-injection/fault-injection.rst).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machine/sysfs.h"

namespace suture::machine {

enum class Effect {
  beside,    // it goes on as before, and does not change what the patch does
  silenced,  // it lies in the old code, which does not run any more
  wins,      // it may keep the patched function from running at all
  refuses,   // while it is there the kernel refuses to redirect the function, or the other way
};
std::string_view effect_word(Effect effect);

struct Attachment {
  std::string object;    // "vmlinux" or the module
  std::string function;  // of the patch
  std::string what;      // "a kprobe at +0x24", "a BPF program of the type fmod_ret (id 12)"
  Effect effect = Effect::beside;
};

struct Attachments {
  std::vector<Attachment> found;        // by function
  std::vector<std::string> unreadable;  // what could not be asked: no rights, not mounted
};

// What is attached to the functions of those objects, other than `patches`: those that are loaded.
// Where a patch of them is only to be loaded, by that core: what this would mean for it.
Attachments attachments(const Machine& machine, const std::vector<PatchedObject>& objects,
                        const std::vector<LoadedPatch>& patches, const Core* loading = nullptr);

}  // namespace suture::machine
