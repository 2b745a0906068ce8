// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "cli/live_report.h"
#include "live/nudge.h"

namespace suture::cli {

namespace {

Result<Report> wake() {
  const machine::Machine machine;
  const std::vector<machine::LoadedPatch> patches = TRY(machine::loaded_patches(machine));
  auto patch = std::ranges::find(patches, true, &machine::LoadedPatch::transition);
  if (patch == patches.end()) {
    return fail(Code::no_transition, "", "no transition is under way, so nothing is in its way",
                "see `suture status`");
  }
  const auto nudged = live::nudge(machine, *patch, machine::blocking_tasks(machine, *patch));
  Report report;
  report.json = {{"transition", patch->name}, {"processes", Json::array()}};
  std::vector<std::vector<std::string>> rows{{"PID", "COMMAND", "DONE"}};
  for (const live::Nudged& it : nudged) {
    report.json["processes"].push_back(
        {{"pid", it.pid}, {"comm", it.comm}, {"signalled", it.signalled}, {"what", it.what}});
    rows.push_back({fmt::format("{}", it.pid), it.comm, it.what});
  }
  report.text = rows.size() == 1
                    ? fmt::format(
                          "no task is in the way of {}: it is looked at again within a "
                          "second\n",
                          patch->name)
                    : table(rows);
  return report;
}

}  // namespace

void register_signal(Commands& commands) {
  commands.on_run(commands.add("signal",
                               "Wake the tasks that a transition waits for (livepatch: by SIGSTOP "
                               "and SIGCONT, where that does no harm)"),
                  wake);
}

}  // namespace suture::cli
