// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tasks that a transition waits for: patch_state, stack, status and stat of
// Documentation/filesystems/proc.rst; of Suture's core, its patch's file `blocking`.
#pragma once

#include <string>
#include <vector>

#include "machine/sysfs.h"

namespace suture::machine {

struct BlockingTask {
  int pid = 0;
  int tid = 0;
  std::string comm;
  std::string state;  // "S (sleeping)"
  bool kernel_thread = false;
  // Kernel frames, innermost first: "pipe_read+0x12/0x40", with " [MODULE]" for a module's; empty
  // without the right to read, and for a task that runs.
  std::vector<std::string> stack;
  // What of the patch is on that stack: the function that the task must leave first. Empty where
  // nothing is, or the stack is not known.
  std::string function;
  // Code of BPF on that stack, through which livepatch cannot look: "bpf_trampoline_6442467823_1",
  // with who is called there where the kernel tells: "... (BPF program 12, fentry of vfs_read)".
  std::string trampoline;
};

// The tasks that have not switched to where the patch's transition goes, by thread; empty where it
// is in none. Suture's core names 200 at most.
std::vector<BlockingTask> blocking_tasks(const Machine& machine, const LoadedPatch& patch);
// The tasks that were inside of the patch's functions when the machine was last stopped for it in
// vain: of Suture's core under the model stop.
std::vector<BlockingTask> tasks_inside(const Machine& machine, const LoadedPatch& patch);
// How many block, without looking at any more closely.
std::size_t count_blocking(const Machine& machine, const LoadedPatch& patch);

// "TID COMM in FUNCTION, ..." for an error, at most `limit` tasks and how many more there are.
std::string describe(const std::vector<BlockingTask>& tasks, std::size_t limit);

}  // namespace suture::machine
