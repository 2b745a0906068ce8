// SPDX-License-Identifier: GPL-2.0-or-later
//
// Waiting for the end of a transition.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "live/nudge.h"
#include "machine/kernel_log.h"
#include "machine/sysfs.h"
#include "machine/tasks.h"

namespace suture::live {

// What is to be told, once a second, of a transition that takes time.
struct TransitionView {
  std::string patch;
  std::string model;
  bool enabled = true;                       // the way it goes
  double seconds = 0;                        // since it was begun
  std::size_t waiting = 0;                   // tasks that have not switched
  bool stalled = false;                      // it takes longer than it should:
  std::vector<machine::BlockingTask> tasks;  // then the tasks, else none
  std::vector<Nudged> nudged;                // what was just done to get them on their way
};
using TransitionWatcher = std::function<void(const TransitionView&)>;

struct Patience {
  double deadline = 60;                // seconds that it may take
  double stall_after = 5;              // seconds after which the tasks in the way are told
  std::optional<double> signal_after;  // seconds after which those tasks are nudged, once
  TransitionWatcher watch;             // may be empty
};

// The words of the cores in the kernel's log, as events. They come the moment a transition begins
// or ends; neither sysfs nor uevents tell.
class CoreEvents {
 public:
  explicit CoreEvents(const machine::Machine& machine);
  // Waits so long at most; true as soon as a core has said something.
  bool wait(double seconds);

 private:
  std::optional<machine::LogReader> log_;
};

enum class Waited { done, deadline, interrupted };

// Waits until `done`, looking whenever a core says something, and in between every
// half second (10 times a second at most where its log cannot be read).
Waited wait_until(const machine::Machine& machine, const std::string& name,
                  const Patience& patience, CoreEvents& events, const std::function<bool()>& done);

}  // namespace suture::live
