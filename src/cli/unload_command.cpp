// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/live_report.h"
#include "live/load.h"

namespace suture::cli {

namespace {

struct UnloadOptions {
  std::vector<std::string> names;
  live::LoadOptions load;
};

Result<Report> run(UnloadOptions& options) {
  options.load.patience.watch = transition_watcher();
  Report report;
  report.json["unloaded"] = Json::array();
  for (const std::string& name : options.names) {
    live::LoadOutcome outcome = TRY(live::unload(machine::Machine{}, name, options.load));
    report.json["unloaded"].push_back({{"name", outcome.name},
                                       {"transition_seconds", outcome.transition_seconds},
                                       {"removed", outcome.removed},
                                       {"staying", staying_json(outcome)}});
    report.text +=
        fmt::format("{} is out, after {:.1f} s\n", outcome.name, outcome.transition_seconds);
    for (const std::string& removed : outcome.removed) {
      report.text += fmt::format("{} had been replaced, and its module is removed, too\n", removed);
    }
    report.text += staying_text(outcome);
  }
  return report;
}

}  // namespace

void register_unload(Commands& commands) {
  auto options = std::make_shared<UnloadOptions>();
  const Command command = commands.add("unload", "Take patches back, also during their transition");
  command.example("suture unload fix_1");
  command.option("NAME", options->names, "Names of loaded patches, as `suture list` shows them")
      .required()
      .offers(Offered::patches);
  add_patience(command, options->load.patience);
  add_model(command, options->load.model,
            "How tasks switch back to the old code, of a patch for Suture's own core: stop, lazy "
            "or hybrid (default: the one that it was loaded by)");
  commands.on_run(
      command, [options] { return run(*options); }, Logged::yes);
}

}  // namespace suture::cli
