// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: see the end of a transition at once, without asking for it all the time. Method: the
// core writes "CORE: 'NAME': patching complete" into the kernel's log, which can be polled; the
// state itself follows within microseconds, so the first looks after such a word come quickly, and
// the pauses between them double. Invariant: the log only says when to look; what is believed is
// sysfs.
#include "live/transition.h"

#include <poll.h>

#include <algorithm>

#include "base/process.h"

namespace suture::live {

namespace {

constexpr double first_pause = 0.002;
constexpr double longest_pause_with_log = 0.5;
constexpr double longest_pause_without_log = 0.1;
constexpr double told_every = 1;

}  // namespace

CoreEvents::CoreEvents(const machine::Machine& machine) {
  if (auto reader = machine::LogReader::open(machine.log, machine::LogReader::From::now)) {
    log_.emplace(std::move(*reader));
  }
}

bool CoreEvents::wait(double seconds) {
  const double end =
      now_seconds() + std::min(seconds, log_ ? longest_pause_with_log : longest_pause_without_log);
  for (;;) {
    const double left = std::max(0.0, end - now_seconds());
    pollfd more{log_ ? log_->descriptor() : -1, POLLIN, 0};
    const int ready = ::poll(&more, 1, static_cast<int>(left * 1000 + 0.999));
    if (ready <= 0) {
      return false;
    }
    bool spoke = false;
    while (auto record = log_->next()) {
      spoke = spoke || (record->from_kernel && machine::words_of_a_core(record->text));
    }
    if (spoke || left == 0) {
      return spoke;
    }
  }
}

namespace {

// Tells how far the transition is, where it still is one.
void tell(const machine::Machine& machine, const std::string& name, const Patience& patience,
          double seconds, bool nudge_now) {
  auto found = machine::find_patch(machine, name);
  if (!found || !*found || !(*found)->transition) {
    return;
  }
  TransitionView view{.patch = name,
                      .model = (*found)->model,
                      .enabled = (*found)->enabled,
                      .seconds = seconds,
                      .stalled = seconds >= patience.stall_after || nudge_now};
  if (view.stalled) {
    view.tasks = machine::blocking_tasks(machine, **found);
    view.waiting = view.tasks.size();
  } else {
    view.waiting = machine::count_blocking(machine, **found);
  }
  if (nudge_now) {
    view.nudged = nudge(machine, **found, view.tasks);
  }
  if (patience.watch) {
    patience.watch(view);
  }
}

}  // namespace

Waited wait_until(const machine::Machine& machine, const std::string& name,
                  const Patience& patience, CoreEvents& events, const std::function<bool()>& done) {
  const double start = now_seconds();
  double next_told = start + told_every;
  bool nudged = false;
  for (double pause = first_pause;; pause *= 2) {
    if (done()) {
      return Waited::done;
    }
    if (interrupted()) {
      return Waited::interrupted;
    }
    const double now = now_seconds();
    if (now - start >= patience.deadline) {
      return Waited::deadline;
    }
    const bool nudge_now =
        !nudged && patience.signal_after && now - start >= *patience.signal_after;
    if (nudge_now || (patience.watch && now >= next_told)) {
      tell(machine, name, patience, now - start, nudge_now);
      nudged = nudged || nudge_now;
      next_told = now + told_every;
    }
    pause = std::min(pause, 1.0);
    if (events.wait(std::min(pause, start + patience.deadline - now))) {
      pause = first_pause / 2;
    }
  }
}

}  // namespace suture::live
