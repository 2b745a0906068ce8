// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include "cli/live_report.h"

namespace suture::cli {

namespace {

std::string patch_text(const live::LoadedPatch& patch) {
  std::string out =
      fmt::format("{}: {}\n", paint(patch.name, Tone::strong, STDOUT_FILENO), state_word(patch));
  for (const live::PatchedObject& object : patch.objects) {
    out += fmt::format("  {}{}\n", object.name, object.patched ? "" : " (not loaded)");
    for (const live::RedirectedFunction& function : object.functions) {
      out += fmt::format(
          "    {}{}\n", function.name,
          function.sympos > 1 ? fmt::format(" (number {} of that name)", function.sympos) : "");
    }
  }
  return out;
}

std::string task_text(const live::BlockingTask& task) {
  std::string out = fmt::format("  {} {}  {}\n", task.tid, task.comm, task.state);
  for (const std::string& frame : task.stack) {
    out += fmt::format("      {}\n", frame);
  }
  return out;
}

Result<Report> run() {
  const live::Machine machine;
  std::vector<live::LoadedPatch> patches = TRY(live::loaded_patches(machine));
  Report report;
  Json all = Json::array();
  Json blocking = Json::array();
  Json transition;
  std::string waiting = "no transition is under way\n";
  for (const live::LoadedPatch& patch : patches) {
    all.push_back(to_json(patch));
    report.text += patch_text(patch);
    if (!patch.transition) {
      continue;
    }
    transition = patch.name;
    std::vector<live::BlockingTask> tasks = live::blocking_tasks(machine, patch.enabled);
    waiting =
        fmt::format("in transition: {}; tasks that it waits for: {}\n", patch.name, tasks.size());
    for (const live::BlockingTask& task : tasks) {
      waiting += task_text(task);
      blocking.push_back({{"pid", task.pid},
                          {"tid", task.tid},
                          {"comm", task.comm},
                          {"state", task.state},
                          {"stack", task.stack}});
    }
  }
  report.json = {{"transition", transition}, {"patches", all}, {"blocking", blocking}};
  report.text += patches.empty() ? "no patches are loaded\n" : waiting;
  return report;
}

}  // namespace

void register_status(Commands& commands) {
  commands.on_run(
      commands.app().add_subcommand(
          "status", "Show what is patched, and what a transition that is under way waits for"),
      run);
}

}  // namespace suture::cli
