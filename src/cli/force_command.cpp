// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/live_report.h"
#include "live/load.h"

namespace suture::cli {

namespace {

constexpr const char* consequences =
    "tasks in the middle of old code go on with it beside the new code, which nothing has shown to "
    "be safe; and the module of whatever patch goes with this transition can never be removed, "
    "until the machine reboots";

struct ForceOptions {
  std::string name;
  bool confirmed = false;
};

Result<Report> run(const ForceOptions& options, bool json) {
  if (!options.confirmed) {
    return fail(Code::usage, options.name,
                fmt::format("forcing is for the last resort: {}", consequences),
                "wait, wake the tasks (suture signal) or take the patch back (suture unload); else "
                "add --give-up-consistency");
  }
  const machine::LoadedPatch was = TRY(live::force(machine::Machine{}, options.name));
  Report report;
  report.json = {{"name", was.name}, {"enabled", was.enabled}};
  report.text = fmt::format("{} {}\n{} is {}: its transition was forced\n",
                            paint("warning:", Tone::bad, json ? STDERR_FILENO : STDOUT_FILENO),
                            consequences, was.name, was.enabled ? "in force" : "off");
  return report;
}

}  // namespace

void register_force(Commands& commands) {
  auto options = std::make_shared<ForceOptions>();
  const Command command =
      commands.add("force", "End a transition by force: tasks may mix old and new code");
  command.option("NAME", options->name, "The patch that is in transition")
      .required()
      .offers(Offered::patches);
  command.flag("--give-up-consistency", options->confirmed,
               std::string("Must be given. ") + "What it means: " + consequences);
  commands.on_run(
      command, [options, &commands] { return run(*options, commands.json()); }, Logged::yes);
}

}  // namespace suture::cli
