// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "live/load.h"

namespace suture::cli {

namespace {

struct Options {
  std::vector<fs::path> modules;
  live::LoadOptions load;
};

Result<Report> run(const Options& options) {
  Report report;
  report.json["loaded"] = Json::array();
  std::string before;
  for (const fs::path& module : options.modules) {
    auto outcome = live::load(live::Machine{}, module, options.load);
    if (!outcome) {
      Error error = outcome.error();
      if (!before.empty()) {
        error.reason += fmt::format("; loaded before it, and in force: {}", before);
      }
      return std::unexpected(std::move(error));
    }
    before += (before.empty() ? "" : ", ") + outcome->name;
    report.json["loaded"].push_back(
        {{"name", outcome->name}, {"transition_seconds", outcome->transition_seconds}});
    report.text +=
        fmt::format("{} is in force, after {:.1f} s\n", outcome->name, outcome->transition_seconds);
  }
  return report;
}

}  // namespace

void register_load(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.app().add_subcommand("load", "Load patch modules and wait for their transitions");
  command->add_option("MODULE", options->modules, "Patch modules (.ko), loaded in this order")
      ->required()
      ->check(CLI::ExistingFile);
  command
      ->add_option("--timeout", options->load.timeout,
                   "Seconds to wait for each transition (default: 60)")
      ->check(CLI::PositiveNumber);
  commands.on_run(command, [options] { return run(*options); });
}

}  // namespace suture::cli
