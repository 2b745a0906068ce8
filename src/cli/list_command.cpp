// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "boot/boot.h"
#include "boot/store.h"
#include "cli/live_report.h"

namespace suture::cli {

namespace {

Result<Report> run_loaded() {
  Report report;
  report.json["patches"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"PATCH", "STATE", "CORE", "FUNCTIONS", "OBJECTS"}};
  for (const machine::LoadedPatch& patch : TRY(machine::loaded_patches(machine::Machine{}))) {
    report.json["patches"].push_back(live_json(patch));
    std::size_t functions = 0;
    std::string objects;
    for (const machine::PatchedObject& object : patch.objects) {
      functions += object.functions.size();
      objects += fmt::format("{}{}{}", objects.empty() ? "" : ", ", object.name,
                             object.patched ? "" : " (not loaded)");
    }
    rows.push_back({patch.name, state_word(patch), std::string(patch.core->name),
                    fmt::format("{}", functions), objects});
  }
  report.text = rows.size() == 1 ? "no patches are loaded\n" : table(rows);
  return report;
}

// What is loaded at boot, for every release, in the order in which it is applied.
Result<Report> run_installed() {
  const machine::Machine machine;
  const boot::Store store;
  Report report;
  report.json["installed"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"RELEASE", "PATCH", "VERSION", "KIND", "LOADED"}};
  const std::string running = machine::running_release(machine);
  for (const std::string& release : boot::installed_releases(store)) {
    const std::vector<boot::InstalledPatch> patches = TRY(installed_patches(store, release));
    for (const boot::InstalledPatch& patch : patches) {
      const bool loaded = release == running && boot::patch_enabled(machine, patch.name);
      report.json["installed"].push_back({{"release", release},
                                          {"name", patch.name},
                                          {"version", patch.version},
                                          {"replace", patch.replace},
                                          {"core", patch.core},
                                          {"loaded", loaded}});
      rows.push_back({release, patch.name, patch.version,
                      patch.replace ? "cumulative" : "additional", loaded ? "yes" : "no"});
    }
  }
  report.text = rows.size() == 1 ? "no patches are installed\n" : table(rows);
  return report;
}

}  // namespace

void register_list(Commands& commands) {
  auto installed = std::make_shared<bool>(false);
  const Command command = commands.add("list", "List the patches on this machine");
  command.flag("--installed", *installed, "Those that are loaded at boot");
  commands.on_run(command, [installed] { return *installed ? run_installed() : run_loaded(); });
}

}  // namespace suture::cli
