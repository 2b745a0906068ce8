// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "cli/live_report.h"

namespace suture::cli {

namespace {

Result<Report> run() {
  Report report;
  report.json["patches"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"PATCH", "STATE", "FUNCTIONS", "OBJECTS"}};
  for (const live::LoadedPatch& patch : TRY(live::loaded_patches(live::Machine{}))) {
    report.json["patches"].push_back(to_json(patch));
    std::size_t functions = 0;
    std::string objects;
    for (const live::PatchedObject& object : patch.objects) {
      functions += object.functions.size();
      objects += fmt::format("{}{}{}", objects.empty() ? "" : ", ", object.name,
                             object.patched ? "" : " (not loaded)");
    }
    rows.push_back({patch.name, state_word(patch), fmt::format("{}", functions), objects});
  }
  report.text = rows.size() == 1 ? "no patches are loaded\n" : table(rows);
  return report;
}

}  // namespace

void register_list(Commands& commands) {
  commands.on_run(commands.app().add_subcommand("list", "List the patches on this machine"), run);
}

}  // namespace suture::cli
