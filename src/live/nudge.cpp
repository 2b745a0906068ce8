// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/nudge.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "machine/directory.h"
#include "machine/proc_stat.h"

namespace suture::live {

namespace {

// While it lives nothing ordinary takes the processor away from this process: between two signals
// that belong together a preemption would be long.
class Undisturbed {
 public:
  Undisturbed() {
    policy_ = ::sched_getscheduler(0);
    ::sched_getparam(0, &parameters_);
    const sched_param first{.sched_priority = 1};
    ::sched_setscheduler(0, SCHED_FIFO, &first);  // without the right to, it goes without
  }
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;
  ~Undisturbed() { ::sched_setscheduler(0, policy_, &parameters_); }

 private:
  int policy_ = SCHED_OTHER;
  sched_param parameters_{};
};

// Whether the process has a handler for that signal: SigCgt of its `status`.
bool handles(const machine::Directory& process, int signal) {
  const std::string text = process.read("status").value_or("");
  constexpr std::string_view key = "\nSigCgt:\t";
  std::size_t at = text.find(key);
  std::uint64_t caught = 0;
  if (at != std::string::npos) {
    std::from_chars(text.data() + at + key.size(), text.data() + text.size(), caught, 16);
  }
  return (caught >> (signal - 1) & 1) != 0;
}

// Why the process is better left to the kernel; empty where nothing speaks against a signal.
std::string why_not(const machine::Directory& process, const machine::BlockingTask& task) {
  const machine::ProcStat stat = machine::read_stat(process).value_or(machine::ProcStat{});
  const char state = task.state.empty() ? stat.state : task.state.front();
  if (task.kernel_thread || stat.kernel_thread) {
    return "a kernel thread: only the kernel can wake it, which it tries every 15 s";
  }
  if (stat.state == 'T' || stat.state == 't' || state == 'T' || state == 't') {
    return "stopped or traced: left alone, so that it stays so";
  }
  if (state == 'D') {
    return "in a sleep that no signal ends: wait for what it waits for";
  }
  if (state == 'R') {
    return "running: it switches when it returns to user space";
  }
  if (stat.terminal != 0) {
    return "it has a terminal, whose shell would see it stop: left to the kernel's own signal";
  }
  if (handles(process, SIGCONT)) {
    return "it handles SIGCONT: left to the kernel's own signal";
  }
  return {};
}

std::vector<Nudged> nudge_by_core(const machine::Machine& machine,
                                  const machine::LoadedPatch& patch,
                                  const std::vector<machine::BlockingTask>& tasks) {
  const Status done = machine::signal_blocking(machine, patch.name);
  std::vector<Nudged> out;
  for (const machine::BlockingTask& task : tasks) {
    if (std::ranges::find(out, task.pid, &Nudged::pid) == out.end()) {
      out.push_back({.pid = task.pid,
                     .comm = task.comm,
                     .signalled = done.has_value(),
                     .what = done ? "woken by Suture's core"
                                  : fmt::format("not woken: {}", done.error().reason)});
    }
  }
  return out;
}

std::vector<Nudged> nudge_by_signals(const machine::Machine& machine,
                                     const std::vector<machine::BlockingTask>& tasks) {
  std::vector<Nudged> out;
  for (const machine::BlockingTask& task : tasks) {
    auto process = machine::Directory::open(machine.proc / fmt::format("{}", task.pid));
    std::string against = process ? why_not(*process, task) : "gone meanwhile";
    auto known = std::ranges::find(out, task.pid, &Nudged::pid);
    if (known == out.end()) {
      out.push_back(Nudged{.pid = task.pid, .comm = task.comm, .what = against});
      known = out.end() - 1;
    }
    if (!against.empty()) {
      continue;
    }
    // The stop goes to the very thread; the other takes back every stop that its process has not
    // followed yet.
    const Undisturbed undisturbed;
    const int stopped = ::tgkill(task.pid, task.tid, SIGSTOP);
    const int err = errno;
    const int continued = ::kill(task.pid, SIGCONT);
    known->signalled = stopped == 0 && continued == 0;
    known->what = known->signalled ? "signalled: its system call is restarted"
                                   : fmt::format("not signalled: {}", std::strerror(err));
  }
  return out;
}

}  // namespace

std::vector<Nudged> nudge(const machine::Machine& machine, const machine::LoadedPatch& patch,
                          const std::vector<machine::BlockingTask>& tasks) {
  return patch.core->states_in_proc ? nudge_by_signals(machine, tasks)
                                    : nudge_by_core(machine, patch, tasks);
}

}  // namespace suture::live
