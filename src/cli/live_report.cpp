// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/live_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

namespace suture::cli {

std::string state_word(const machine::LoadedPatch& patch) {
  if (patch.transition) {
    return patch.enabled ? "enabling" : "disabling";
  }
  return patch.enabled ? "enabled" : "disabled";
}

Json live_json(const machine::LoadedPatch& patch) {
  Json out{{"name", patch.name},       {"core", patch.core->name},
           {"model", patch.model},     {"state", state_word(patch)},
           {"enabled", patch.enabled}, {"transition", patch.transition},
           {"objects", Json::array()}};
  if (patch.pause_ns) {
    out["pause_ns"] = *patch.pause_ns;
  }
  if (patch.transition_ns) {
    out["transition_ns"] = *patch.transition_ns;
  }
  if (patch.settled) {
    out["settled"] = *patch.settled;
  }
  for (const machine::PatchedObject& object : patch.objects) {
    Json entry{{"name", object.name}, {"patched", object.patched}, {"functions", Json::array()}};
    for (const machine::RedirectedFunction& function : object.functions) {
      entry["functions"].push_back({{"name", function.name}, {"sympos", function.sympos}});
    }
    out["objects"].push_back(std::move(entry));
  }
  return out;
}

Json live_json(const machine::BlockingTask& task) {
  return {{"pid", task.pid},
          {"tid", task.tid},
          {"comm", task.comm},
          {"state", task.state},
          {"kernel_thread", task.kernel_thread},
          {"function", task.function},
          {"trampoline", task.trampoline},
          {"stack", task.stack}};
}

Json live_json(const check::Check& check) {
  Json out{{"id", check.id},
           {"verdict", check::verdict_word(check.verdict)},
           {"detail", check.detail},
           {"remedy", check.remedy}};
  if (check.verdict == check::Verdict::failed) {
    out["code"] = code_name(check.code);
  }
  return out;
}

Json live_json(const machine::Attachment& attachment) {
  return {{"object", attachment.object},
          {"function", attachment.function},
          {"what", attachment.what},
          {"effect", machine::effect_word(attachment.effect)}};
}

Json staying_json(const live::LoadOutcome& outcome) {
  Json out = Json::array();
  for (const machine::Staying& it : outcome.staying) {
    out.push_back({{"name", it.name}, {"why", it.why}});
  }
  return out;
}

std::string staying_text(const live::LoadOutcome& outcome) {
  std::string out;
  for (const machine::Staying& it : outcome.staying) {
    out += fmt::format(
        "the module {} does nothing any more and stays in memory until the next boot: others may "
        "use {}\n",
        it.name, it.why);
  }
  return out;
}

std::string task_text(const machine::BlockingTask& task, std::string_view model) {
  std::string why = "  its kernel stack does not show why";
  if (!task.function.empty()) {
    why = fmt::format("  in the patched function {}", task.function);
  } else if (!task.trampoline.empty()) {
    why = fmt::format(
        "  behind {}, through which the kernel's livepatch cannot look: it switches when it has "
        "left "
        "that (suture signal makes it), or detach the program, or build for Suture's own core",
        task.trampoline);
  } else if (task.state.starts_with('R')) {
    why = "  running";
  } else if (model == "lazy") {
    why = "  it has not left the kernel since";
  }
  std::string out = fmt::format("  {} {}{}  {}{}\n", task.tid, task.comm,
                                task.kernel_thread ? " (kernel thread)" : "", task.state, why);
  for (const std::string& frame : task.stack) {
    out += fmt::format("      {}\n", frame);
  }
  return out;
}

std::string duration_text(double seconds) {
  const long whole = std::lround(seconds);
  if (whole < 120) {
    return fmt::format("{} s", whole);
  }
  if (whole < 7200) {
    return fmt::format("{} min {} s", whole / 60, whole % 60);
  }
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string pause_text(const std::optional<long>& nanoseconds) {
  return nanoseconds.value_or(0) == 0 ? ""
                                      : fmt::format("; the machine stood still for {:.1f} ms",
                                                    static_cast<double>(*nanoseconds) * 1e-6);
}

namespace {

// What of a transition was told already.
struct Told {
  std::vector<int> tasks;
  double line = 0;  // seconds of the last plain line
};

void tell(const live::TransitionView& view, Told& told, const kernel::Progress& line) {
  constexpr double plain_line_every = 10;
  constexpr std::size_t shown_tasks = 10;
  std::vector<int> tasks;
  for (const machine::BlockingTask& task : view.tasks) {
    tasks.push_back(task.tid);
  }
  std::string text;
  if (view.stalled && tasks != told.tasks) {
    if (told.tasks.empty() && view.nudged.empty()) {
      text = "  every 15 s Suture's core wakes those that sleep; `suture signal` does it now\n";
    }
    for (std::size_t i = 0; i < std::min(view.tasks.size(), shown_tasks); ++i) {
      text += task_text(view.tasks[i], view.model);
    }
    if (view.tasks.size() > shown_tasks) {
      text += fmt::format("  and {} more: suture status\n", view.tasks.size() - shown_tasks);
    }
    told.tasks = std::move(tasks);
  }
  for (std::size_t i = 0; i < std::min(view.nudged.size(), shown_tasks); ++i) {
    const live::Nudged& nudged = view.nudged[i];
    text += fmt::format("  {} {}: {}\n", nudged.pid, nudged.comm, nudged.what);
  }
  if (view.nudged.size() > shown_tasks) {
    text += fmt::format("  and {} more processes\n", view.nudged.size() - shown_tasks);
  }
  const std::string summary =
      fmt::format("{}: {} since {}; {} to switch", view.patch,
                  view.enabled ? "in transition" : "on its way back", duration_text(view.seconds),
                  view.waiting == 1 ? "1 task has" : fmt::format("{} tasks have", view.waiting));
  const bool terminal = understands_escapes(STDERR_FILENO);
  if (terminal) {
    line("");
  }
  if (terminal || !text.empty() || view.seconds - told.line >= plain_line_every) {
    line(summary);
    told.line = view.seconds;
  }
  if (!text.empty()) {
    std::fprintf(stderr, "%s%s", terminal ? "\n" : "", text.c_str());
  }
}

}  // namespace

live::TransitionWatcher transition_watcher() {
  // One object for all copies of the watcher; its end clears the line.
  struct State {
    Told told;
    kernel::Progress line = progress();
    bool shown = false;
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (shown) {
        line("");
      }
    }
  };
  return [state = std::make_shared<State>()](const live::TransitionView& view) {
    tell(view, state->told, state->line);
    state->shown = true;
  };
}

void add_patience(const Command& command, live::Patience& patience) {
  command.duration("--deadline", patience.deadline,
                   "Time that each transition may take: 90, 90s, 10m, 2h (default: 60s)");
  command.duration("--signal-after", patience.signal_after,
                   "Wake the tasks in the way after this time, as `suture signal` does (default: "
                   "the kernel does it every 15 s)");
}

}  // namespace suture::cli
