// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "boot/boot.h"
#include "cli/boot_unit.h"
#include "cli/live_report.h"

namespace suture::cli {

namespace {

struct ApplyOptions {
  boot::ApplyOptions apply;
  bool confirm = false;
};

Json to_json(const boot::ApplyOutcome& outcome) {
  Json out{{"kernel", outcome.release},
           {"nothing", outcome.nothing},
           {"applied", Json::array()},
           {"superseded", outcome.superseded},
           {"failures", errors_json(outcome.failures)}};
  for (const boot::AppliedPatch& patch : outcome.applied) {
    out["applied"].push_back({{"name", patch.name},
                              {"was_loaded", patch.was_loaded},
                              {"transition_seconds", patch.transition_seconds},
                              {"removed", patch.removed}});
  }
  return out;
}

std::string to_text(const boot::ApplyOutcome& outcome, int fd) {
  if (!outcome.nothing.empty()) {
    return fmt::format("nothing is applied: {}\n", outcome.nothing);
  }
  std::string out;
  for (const Error& failure : outcome.failures) {
    out += error_text(failure, fd);
  }
  for (const boot::AppliedPatch& patch : outcome.applied) {
    out += patch.was_loaded ? fmt::format("{} is loaded already\n", patch.name)
                            : fmt::format("{} is in force, after {:.1f} s\n", patch.name,
                                          patch.transition_seconds);
    for (const std::string& name : patch.removed) {
      out += fmt::format("{} was replaced, and its module removed\n", name);
    }
  }
  return out;
}

Result<Report> run_confirm() {
  const bool lowered = TRY(boot::confirm(machine::Machine{}, boot::Store{}));
  return Report{.json = {{"confirmed", lowered}},
                .text = lowered
                            ? "the boot guard is lowered: the next boot loads these patches again\n"
                            : "the boot guard was not raised by this boot\n"};
}

Result<Report> run(const ApplyOptions& options, bool json) {
  if (options.confirm) {
    return run_confirm();
  }
  const boot::ApplyOutcome outcome =
      TRY(boot::apply_installed(machine::Machine{}, boot::Store{}, options.apply));
  Report report{
      .json = to_json(outcome),
      .text = to_text(outcome, json ? STDERR_FILENO : STDOUT_FILENO),
      .exit_status = outcome.failures.empty() ? 0 : exit_code(outcome.failures.front().code)};
  // The guard is up: the time after which the machine counts as well begins now.
  if (outcome.nothing.empty()) {
    const bool timer = start_confirm_timer();
    report.json["confirmed_by"] = timer ? "suture-confirm.timer" : "nobody";
    if (!timer) {
      report.text +=
          "when the machine has shown to be well, run: suture apply --confirm (else the "
          "next boot applies nothing)\n";
    }
  }
  return report;
}

}  // namespace

void register_apply(Commands& commands) {
  auto options = std::make_shared<ApplyOptions>();
  const Command command =
      commands.add("apply", "Load the installed patches, as suture.service does at boot");
  const Option retry =
      command.flag("--retry", options->apply.retry,
                   "Load them although the machine crashed when they were last loaded at boot");
  const Option replace = command.flag(
      "--replace", options->apply.load.replace,
      "Also where they replace patches that are loaded, not installed, and whose fix they do not "
      "have (as at boot)");
  command
      .flag("--confirm", options->confirm,
            "Load nothing, but lower the boot guard: the machine runs well, and the next boot may "
            "load the patches again (suture-confirm.timer and an orderly shutdown do the same)")
      .excludes(retry)
      .excludes(replace);
  add_patience(command, options->apply.load.patience);
  commands.on_run(command, [options, &commands] { return run(*options, commands.json()); });
}

}  // namespace suture::cli
