// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "boot/boot.h"
#include "boot/store.h"
#include "cli/boot_unit.h"
#include "cli/command.h"
#include "cli/live_report.h"
#include "live/core_module.h"

namespace suture::cli {

namespace {

struct InstallOptions {
  std::vector<fs::path> modules;
  boot::InstallOptions install;
  bool now = false;
};

std::string to_text(const boot::InstallOutcome& outcome, const std::string& running) {
  std::string out =
      fmt::format("{} is {} for {}", outcome.patch.name,
                  outcome.was_there ? "installed already" : "installed", outcome.release);
  if (outcome.release != running) {
    out += fmt::format(", which does not run now ({} does)", running);
  }
  out += '\n';
  const machine::Machine machine;
  std::error_code ec;
  if (outcome.patch.core == machine::suture_core.name &&
      !fs::exists(live::installed_core(machine, outcome.release), ec)) {
    out += fmt::format("Suture's core, which it needs, is not where the boot looks for it: {}\n",
                       live::how_to_install_core(machine, outcome.release));
  }
  if (!outcome.superseded.empty()) {
    out += fmt::format("it replaces {}: not loaded at boot while it is installed\n",
                       joined(outcome.superseded));
  }
  for (const check::Loss& loss : outcome.losses) {
    out += fmt::format("{}: this ends when it is replaced\n", check::describe(loss));
  }
  return out;
}

// Loads what is not loaded yet. Where the kernel does not take it, the next boot shall not try.
Result<std::string> load_now(const machine::Machine& machine, const boot::Store& store,
                             const boot::InstallOutcome& outcome, bool replace) {
  if (machine::module_loaded(machine, outcome.patch.name)) {
    return fmt::format("{} is loaded already\n", outcome.patch.name);
  }
  auto loaded =
      live::load(machine, store.of(outcome.release) / outcome.patch.file(), {.replace = replace});
  if (loaded) {
    return fmt::format("{} is in force, after {:.1f} s\n", loaded->name,
                       loaded->transition_seconds);
  }
  Error error = loaded.error();
  if (!outcome.was_there && !machine::module_loaded(machine, outcome.patch.name)) {
    TRY(boot::uninstall(store, outcome.release, outcome.patch.name));
    error.reason += "; it is not installed either";
  }
  return std::unexpected(std::move(error));
}

// So that what is installed is loaded at boot. Where that cannot be seen to, people are told.
std::string see_to_boot(Report& report) {
  const std::optional<bool> enabled = boot_unit_enabled();
  Status done = enabled.value_or(true) ? Status{} : enable_boot_unit();
  report.json["boot_unit"] = !enabled ? "no systemd" : done ? "enabled" : "disabled";
  if (!enabled) {
    return "systemd does not run here: have the machine run `suture apply` at boot\n";
  }
  if (!done) {
    return fmt::format("nothing loads it at boot yet ({}); {}\n", done.error().reason,
                       done.error().remedy);
  }
  return *enabled ? "" : "suture.service is enabled: it loads what is installed at boot\n";
}

Status install_one(const fs::path& module, const InstallOptions& options, Report& report) {
  const machine::Machine machine;
  const boot::Store store;
  const std::string running = machine::running_release(machine);
  const boot::InstallOutcome outcome = TRY(boot::install(store, module, options.install));
  std::string text = to_text(outcome, running);
  if (outcome.release == running) {
    if (options.now) {
      text += TRY(load_now(machine, store, outcome, options.install.replace));
    } else if (!machine::module_loaded(machine, outcome.patch.name)) {
      text += "it is not loaded now: suture load MODULE, or install --now\n";
    }
  }
  report.json["installed"].push_back({{"name", outcome.patch.name},
                                      {"release", outcome.release},
                                      {"was_there", outcome.was_there},
                                      {"superseded", outcome.superseded}});
  report.text += text;
  return {};
}

Result<Report> run(const InstallOptions& options) {
  Report report;
  report.json["installed"] = Json::array();
  std::vector<std::string> before;
  for (const fs::path& module : options.modules) {
    if (auto done = install_one(module, options, report); !done) {
      Error error = done.error();
      if (!before.empty()) {
        error.reason += fmt::format("; installed before it: {}", joined(before));
      }
      return std::unexpected(std::move(error));
    }
    if (before.empty()) {
      report.text += see_to_boot(report);
    }
    before.push_back(module.filename().string());
  }
  return report;
}

struct UninstallOptions {
  std::vector<std::string> names;
  std::string release;
  bool now = false;
};

Result<Report> run_uninstall(UninstallOptions options) {
  const machine::Machine machine;
  const boot::Store store;
  const std::string running = machine::running_release(machine);
  if (options.release.empty()) {
    options.release = running;
  }
  Report report;
  report.json["uninstalled"] = Json::array();
  const std::vector<std::string> before =
      boot::applied_at_boot(TRY(boot::installed_patches(store, options.release)));
  for (const std::string& name : options.names) {
    TRY(boot::uninstall(store, options.release, name));
    report.json["uninstalled"].push_back({{"name", name}, {"release", options.release}});
    report.text += fmt::format("{} is not installed any more for {}\n", name, options.release);
    if (options.release != running || !machine::module_loaded(machine, name)) {
      continue;
    }
    if (options.now) {
      const live::LoadOutcome unloaded = TRY(live::unload(machine, name, {}));
      report.text += fmt::format("{} is taken back, after {:.1f} s\n", unloaded.name,
                                 unloaded.transition_seconds);
      report.text += staying_text(unloaded);
    } else {
      report.text += fmt::format("it stays in force until the next boot: suture unload {}\n", name);
    }
  }
  report.json["applied_again"] = Json::array();
  for (const std::string& name :
       boot::applied_at_boot(TRY(boot::installed_patches(store, options.release)))) {
    if (std::ranges::find(before, name) == before.end()) {
      report.json["applied_again"].push_back(name);
      report.text +=
          fmt::format("{} is applied at the next boot of {}: nothing supersedes it any more\n",
                      name, options.release);
    }
  }
  return report;
}

}  // namespace

void register_install(Commands& commands) {
  auto options = std::make_shared<InstallOptions>();
  const Command command =
      commands.add("install", "Load patches at each boot of the kernel that they are for");
  command.example("suture install --now fix_1.ko");
  command
      .option("MODULE", options->modules,
              "Patch modules (.ko), applied in this order, after those that are installed")
      .required()
      .existing();
  command.flag("--replace", options->install.replace,
               "Also where a patch replaces others whose fix it does not have");
  command.flag("--now", options->now,
               "Load them now, too; one that cannot be loaded is not installed");
  commands.on_run(
      command, [options] { return run(*options); }, Logged::yes);
}

void register_uninstall(Commands& commands) {
  auto options = std::make_shared<UninstallOptions>();
  const Command command = commands.add("uninstall", "No longer load patches at boot");
  command.example("suture uninstall --now fix_1");
  command.option("NAME", options->names, "Names of installed patches")
      .required()
      .offers(Offered::patches);
  command.option("-k,--kernel REL", options->release,
                 "Release that they are installed for (default: the running one)");
  command.flag("--now", options->now, "Take them back now, too");
  commands.on_run(
      command, [options] { return run_uninstall(*options); }, Logged::yes);
}

}  // namespace suture::cli
