// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/live_report.h"
#include "live/load.h"

namespace suture::cli {

namespace {

struct LoadOptions {
  std::vector<fs::path> modules;
  live::LoadOptions load;
  double trial = 0;
  bool no_revert = false;
};

Json outcome_json(const live::LoadOutcome& outcome, const live::LoadOptions& options) {
  Json out{{"name", outcome.name},       {"core", outcome.core},
           {"model", outcome.model},     {"transition_seconds", outcome.transition_seconds},
           {"removed", outcome.removed}, {"staying", staying_json(outcome)},
           {"warnings", Json::array()}};
  if (outcome.pause_ns) {
    out["pause_ns"] = *outcome.pause_ns;
  }
  out["redirected"] = outcome.redirected ? Json(*outcome.redirected) : Json(nullptr);
  if (options.trial_seconds) {
    out["trial_seconds"] = *options.trial_seconds;
  }
  for (const check::Check& warning : outcome.warnings) {
    out["warnings"].push_back(live_json(warning));
  }
  return out;
}

std::string to_text(const live::LoadOutcome& outcome, const live::LoadOptions& options, int fd) {
  std::string out;
  for (const check::Check& warning : outcome.warnings) {
    out += fmt::format("{} {}; {}\n", paint("warning:", Tone::bad, fd), warning.detail,
                       warning.remedy);
  }
  out += fmt::format("{} is in force, after {:.1f} s{}\n", outcome.name, outcome.transition_seconds,
                     pause_text(outcome.pause_ns));
  if (!outcome.redirected) {
    out +=
        "whether its functions lead to the new code cannot be seen: mount tracefs at "
        "/sys/kernel/tracing\n";
  } else if (*outcome.redirected > 0) {
    out +=
        fmt::format("its functions ({}) were seen to lead to the new code\n", *outcome.redirected);
  }
  for (const std::string& name : outcome.removed) {
    out += fmt::format("{} was replaced, and its module removed\n", name);
  }
  out += staying_text(outcome);
  if (options.trial_seconds) {
    out += fmt::format("it is taken back in {} unless you run: suture accept {}\n",
                       duration_text(*options.trial_seconds), outcome.name);
  }
  return out;
}

Result<Report> run(LoadOptions& options, bool json) {
  options.load.revert = !options.no_revert;
  options.load.patience.watch = transition_watcher();
  if (options.trial > 0) {
    options.load.trial_seconds = options.trial;
  }
  Report report;
  report.json["loaded"] = Json::array();
  std::string before;
  for (const fs::path& module : options.modules) {
    auto outcome = live::load(machine::Machine{}, module, options.load);
    if (!outcome) {
      Error error = outcome.error();
      if (!before.empty()) {
        error.reason += fmt::format("; loaded before it, and in force: {}", before);
      }
      return std::unexpected(std::move(error));
    }
    before += (before.empty() ? "" : ", ") + outcome->name;
    report.json["loaded"].push_back(outcome_json(*outcome, options.load));
    report.text += to_text(*outcome, options.load, json ? STDERR_FILENO : STDOUT_FILENO);
  }
  return report;
}

}  // namespace

void register_load(Commands& commands) {
  auto options = std::make_shared<LoadOptions>();
  const Command command =
      commands.add("load", "Load patch modules, and wait until every task runs the new code");
  command.example("suture load fix_1.ko")
      .example("suture load --try 10m fix_1.ko && suture accept fix_1");
  command.option("MODULE", options->modules, "Patch modules (.ko), loaded in this order")
      .required()
      .existing();
  add_patience(command, options->load.patience);
  command.option("--parameters", options->load.parameters,
                 "Module parameters, as modprobe takes them: \"name=value ...\"");
  add_model(command, options->load.model,
            "How tasks switch to the new code, of a patch for Suture's own core: stop (all at "
            "once, the machine stops), lazy (each when it returns to user space) or hybrid (each "
            "when it runs no changed function; default: the core's default)");
  command.flag("--no-revert", options->no_revert,
               "At the deadline let the transition go on, instead of taking the patch back");
  command.flag("--replace", options->load.replace,
               "Also where this patch replaces others whose fix it does not have");
  command.duration("--try", options->trial,
                   "Take the patch back after this time unless `suture accept` comes: 10m");
  commands.on_run(
      command, [options, &commands] { return run(*options, commands.json()); }, Logged::yes);
}

}  // namespace suture::cli
