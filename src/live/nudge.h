// SPDX-License-Identifier: GPL-2.0-or-later
//
// Getting tasks that sleep in a system call to leave it, as harmlessly as user space can.
//
// Suture's own core does it when it is asked to. The kernel's cannot be asked: from 5.1 on it does
// this by itself: every 15 s it wakes what has not switched and sleeps
// interruptibly, by a signal that is none (kernel/livepatch/transition.c, klp_send_signals; the
// file `signal` of earlier kernels is gone). What is here comes earlier: SIGSTOP wakes a task, and
// SIGCONT right behind takes the stop back before it is acted on; the system call begins anew, or
// ends with EINTR where it always does so after a signal. A task that another processor wakes
// within that microsecond does stop and go on, which its parent may be told. Whoever might mind is
// left to the kernel: processes with a terminal (their shell would see them stop), with a handler
// for SIGCONT, stopped ones, and kernel threads. Tracing or freezing them would leave no such gap,
// but takes hold of processes that others may have hold of.
#pragma once

#include <string>
#include <vector>

#include "machine/tasks.h"

namespace suture::live {

struct Nudged {
  int pid = 0;
  std::string comm;
  bool signalled = false;
  std::string what;  // that was done, or why nothing was: "signalled", "a kernel thread: ..."
};

// What is in the way of the patch's transition. One answer a process, in the order of the tasks.
std::vector<Nudged> nudge(const machine::Machine& machine, const machine::LoadedPatch& patch,
                          const std::vector<machine::BlockingTask>& tasks);

}  // namespace suture::live
