// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "boot/boot.h"
#include "cli/live_report.h"
#include "cli/prometheus.h"
#include "live/status.h"

namespace suture::cli {

namespace {

struct StatusOptions {
  std::vector<std::string> names;
  bool prometheus = false;
};

std::vector<std::string> object_names(const machine::LoadedPatch& patch) {
  std::vector<std::string> out;
  for (const machine::PatchedObject& object : patch.objects) {
    out.push_back(object.name + (object.patched ? "" : " (not loaded)"));
  }
  return out;
}

std::size_t function_count(const machine::LoadedPatch& patch) {
  std::size_t count = 0;
  for (const machine::PatchedObject& object : patch.objects) {
    count += object.functions.size();
  }
  return count;
}

std::string local_time(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm local{};
  ::localtime_r(&time, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local);
  return text;
}

// How it came, and what it changes.
std::string details_text(const machine::LoadedPatch& patch) {
  std::string out;
  if (patch.transition_ns.value_or(0) > 0) {
    out += fmt::format("{} took {:.3f} s to switch{}; {}\n", patch.name,
                       static_cast<double>(*patch.transition_ns) * 1e-9, pause_text(patch.pause_ns),
                       patch.settled.value_or(false) ? "its calls go directly to the new code"
                                                     : "its calls go by way of ftrace");
  }
  out += fmt::format("{} changes:\n", patch.name);
  for (const machine::PatchedObject& object : patch.objects) {
    for (const machine::RedirectedFunction& function : object.functions) {
      out += fmt::format(
          "  {} {}{}\n", object.name, function.name,
          function.sympos > 1 ? fmt::format(" (number {} of that name)", function.sympos) : "");
    }
  }
  return out;
}

std::string patches_text(const live::MachineStatus& status, const StatusOptions& options) {
  const std::string head = fmt::format("kernel {}\n", status.release);
  if (status.patches.empty()) {
    return head + "no patches are loaded\n";
  }
  std::vector<std::vector<std::string>> rows{
      {"PATCH", "STATE", "CORE", "MODEL", "VERSION", "LOADED", "SETTLED", "FUNCTIONS", "OBJECTS"}};
  std::string details;
  for (const live::PatchStatus& it : status.patches) {
    const bool ours = it.metadata.has_value();
    rows.push_back({it.patch.name, state_word(it.patch), std::string(it.patch.core->name),
                    it.patch.model,
                    ours && !it.metadata->version.empty() ? it.metadata->version : "-",
                    it.loaded_at ? local_time(*it.loaded_at) : "-",
                    !it.patch.settled   ? "-"
                    : *it.patch.settled ? "yes"
                                        : "no",
                    fmt::format("{}", function_count(it.patch)), joined(object_names(it.patch))});
    if (ours && !it.metadata->description.empty()) {
      details += fmt::format("{}: {}\n", it.patch.name, it.metadata->description);
    }
    if (ours && !it.metadata->cves.empty()) {
      details += fmt::format("{} fixes {}\n", it.patch.name, joined(it.metadata->cves));
    }
    if (const std::string text = live::undertaking_text(it); !text.empty()) {
      details += fmt::format("{}: {}\n", it.patch.name, text);
    }
    if (std::ranges::find(options.names, it.patch.name) != options.names.end()) {
      details += details_text(it.patch);
    }
  }
  return head + table(rows) + details;
}

std::string transition_text(const live::MachineStatus& status) {
  auto moving = std::ranges::find_if(
      status.patches, [](const live::PatchStatus& it) { return it.patch.transition; });
  if (moving == status.patches.end()) {
    return "";
  }
  std::string out = fmt::format(
      "in transition: {}; tasks that it waits for: {}{}\n", moving->patch.name, status.waiting,
      status.waiting == 0 ? " (it is looked at again within a second)" : "");
  for (const machine::BlockingTask& task : status.blocking) {
    out += task_text(task, moving->patch.model);
  }
  if (status.waiting > status.blocking.size()) {
    out += fmt::format("  and {} more\n", status.waiting - status.blocking.size());
  }
  return out;
}

// What is not as it should be.
std::string troubles_text(const live::MachineStatus& status, int fd) {
  std::string out;
  auto warn = [&](const std::string& text) {
    out += fmt::format("{} {}\n", paint("warning:", Tone::bad, fd), text);
  };
  for (const machine::Attachment& it : status.attached.found) {
    if (it.effect != machine::Effect::beside) {
      const check::Check check = check::conflict(it);
      warn(fmt::format("{}; {}", check.detail, check.remedy));
    }
  }
  for (const std::string& name : status.changed_modules) {
    warn(
        fmt::format("the module {} is not the one that its patch was built for; build the patch "
                    "for it",
                    name));
  }
  if (!status.patches.empty() && !status.attached.unreadable.empty()) {
    out += fmt::format("who else is at the patched functions cannot be read: {}\n",
                       joined(status.attached.unreadable));
  }
  for (const machine::Staying& it : status.staying) {
    out += fmt::format(
        "the module {} is in memory, its patch is off, and it cannot be removed before the next "
        "boot: others may use {}\n",
        it.name, it.why);
  }
  for (const std::string& name : status.dropped) {
    out += fmt::format(
        "the module {} is in memory, and its patch is off; remove it: suture unload {}\n", name,
        name);
  }
  return out;
}

Json patch_json(const live::PatchStatus& it) {
  Json out = live_json(it.patch);
  if (it.metadata) {
    out["version"] = it.metadata->version;
    out["description"] = it.metadata->description;
    out["replace"] = it.metadata->replace;
    out["cves"] = it.metadata->cves;
  }
  if (it.record) {
    const bool trial = it.record->trial_seconds > 0;
    out["undertaking"] = {{"kind", it.record->kind == live::Record::Kind::reverting ? "reverting"
                                   : trial                                          ? "trial"
                                                                                    : "loading"},
                          {"pid", it.record->pid},
                          {"alive", it.keeper_alive}};
    if (it.record->deadline > 0) {
      out["undertaking"]["seconds_left"] =
          std::max(0.0, it.record->deadline - live::seconds_since_boot());
    }
  }
  if (it.loaded_at) {
    out["loaded_at"] = *it.loaded_at;
  }
  out["explanation"] = live::undertaking_text(it);
  return out;
}

Json status_json(const live::MachineStatus& status) {
  Json out{{"kernel", status.release},
           {"effective", status.effective},
           {"cves", status.cves},
           {"transition", nullptr},
           {"patches", Json::array()},
           {"waiting", status.waiting},
           {"blocking", Json::array()},
           {"attached", Json::array()},
           {"unreadable", status.attached.unreadable},
           {"changed_modules", status.changed_modules},
           {"dropped_modules", status.dropped},
           {"staying_modules", Json::array()}};
  for (const machine::Staying& it : status.staying) {
    out["staying_modules"].push_back({{"name", it.name}, {"why", it.why}});
  }
  for (const live::PatchStatus& it : status.patches) {
    out["patches"].push_back(patch_json(it));
    if (it.patch.transition) {
      out["transition"] = it.patch.name;
    }
  }
  for (const machine::BlockingTask& task : status.blocking) {
    out["blocking"].push_back(live_json(task));
  }
  for (const machine::Attachment& attachment : status.attached.found) {
    out["attached"].push_back(live_json(attachment));
  }
  return out;
}

// Why the patches that are installed for this kernel are not applied at boot.
std::string held_back_text(const std::optional<Error>& held, int fd) {
  return held ? fmt::format("{} {}; {}\n", paint("warning:", Tone::bad, fd), held->reason,
                            held->remedy)
              : "";
}

std::string held_back_metric(const std::optional<Error>& held) {
  return fmt::format(
      "# HELP suture_held_back Whether the installed patches are held back from this boot.\n"
      "# TYPE suture_held_back gauge\n"
      "suture_held_back {}\n",
      held ? 1 : 0);
}

Result<Report> run(const StatusOptions& options, bool json) {
  const live::MachineStatus status = TRY(live::machine_status(machine::Machine{}));
  for (const std::string& name : options.names) {
    if (std::ranges::none_of(status.patches,
                             [&](const auto& it) { return it.patch.name == name; })) {
      return fail(Code::not_loaded, name, "no patch of that name is loaded",
                  "see what is: suture list");
    }
  }
  const std::optional<Error> held = boot::held_back(machine::Machine{}, boot::Store{});
  Report report;
  if (options.prometheus) {
    report.text = prometheus_text(status) + held_back_metric(held);
    return report;
  }
  if (json) {
    report.json = status_json(status);
    report.json["held_back"] = held ? Json(held->reason) : Json(nullptr);
  } else {
    report.text = patches_text(status, options) + transition_text(status) +
                  troubles_text(status, STDOUT_FILENO) + held_back_text(held, STDOUT_FILENO);
    if (!status.cves.empty()) {
      report.text += fmt::format("fixed now: {}\n", joined(status.cves));
    }
  }
  return report;
}

}  // namespace

void register_status(Commands& commands) {
  auto options = std::make_shared<StatusOptions>();
  const Command command = commands.add(
      "status", "Show what is patched, what a transition waits for, and what is in the way");
  command.example("suture status").example("suture status fix_1");
  command.option("NAME", options->names, "Show the functions of these patches, too")
      .offers(Offered::patches);
  const Option prometheus =
      command.flag("--prometheus", options->prometheus,
                   "Write metrics in Prometheus' text format, for node_exporter's textfile "
                   "collector");
  prometheus.excludes(
      commands.on_run(command, [options, &commands] { return run(*options, commands.json()); }));
}

}  // namespace suture::cli
