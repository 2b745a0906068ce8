// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ways to switch a running kernel, side by side on one machine: what each costs those who run,
// and how long it takes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "machine/sysfs.h"

namespace suture::compare {

// One and the same change of pipe_read(), as modules for either core.
struct ComparedModules {
  fs::path livepatch;  // empty where the kernel has no livepatch
  fs::path suture;
};

// Tasks that had not switched so many seconds after the load began.
struct Laggards {
  double seconds = 0;
  std::size_t tasks = 0;
};

struct ComparedWay {
  std::string name;  // "stop", "lazy", "hybrid", "livepatch"; "nothing": no patch at all
  // Under load, the median and the worst of the rounds, in seconds: the longest that a pinned task
  // of high priority woke late, and the time from the load to the end of the transition.
  double pause = 0, worst_pause = 0;
  double transition = 0, worst_transition = 0;
  // With a reader asleep in pipe_read(): who is left, or why the way refuses and after how long.
  std::vector<Laggards> left;
  std::string refusal;
  double refused_after = 0;
};

// Loads and unloads the patches in turn, each `rounds` times under load and then once with the
// sleeper, which it waits 60 s for at most. The core must be loaded, and nothing else be under way:
// for a guest.
Result<std::vector<ComparedWay>> compare_ways(const machine::Machine& machine,
                                              const ComparedModules& modules, unsigned rounds);

// As one line, for the host of the guest, and back; nothing where the line is none of these.
std::string to_line(const std::vector<ComparedWay>& ways);
std::optional<std::vector<ComparedWay>> parse_ways(std::string_view line);

}  // namespace suture::compare
