// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "live/records.h"
#include "live/trial.h"

namespace suture::cli {

namespace {

// All that are on trial, where none are named.
Result<Report> run(std::vector<std::string> names) {
  const machine::Machine machine;
  if (names.empty()) {
    for (const live::Record& record : live::read_records(machine)) {
      if (record.trial_seconds > 0) {
        names.push_back(record.patch);
      }
    }
  }
  if (names.empty()) {
    return fail(Code::not_on_trial, "", "no patch is on trial", "see `suture status`");
  }
  Report report;
  report.json["accepted"] = Json::array();
  for (const std::string& name : names) {
    TRY(live::accept(machine, name));
    report.json["accepted"].push_back(name);
    report.text += fmt::format("{} stays\n", name);
  }
  return report;
}

}  // namespace

void register_accept(Commands& commands) {
  auto names = std::make_shared<std::vector<std::string>>();
  const Command command = commands.add("accept", "Keep patches that are on trial (load --try)");
  command.option("NAME", *names, "Patches on trial (default: all that are)")
      .offers(Offered::patches);
  commands.on_run(
      command, [names] { return run(*names); }, Logged::yes);
}

void register_keep_trial(Commands& commands) {
  auto name = std::make_shared<std::string>();
  const Command command = commands.add(
      live::keeper_command, "The process that ends a trial, started by `suture load --try`");
  command.hidden();  // not for people
  command.option("NAME", *name, "The patch").required();
  commands.on_run(command, [name]() -> Result<Report> {
    TRY(live::keep_trial(machine::Machine{}, *name));
    return Report{};
  });
}

}  // namespace suture::cli
