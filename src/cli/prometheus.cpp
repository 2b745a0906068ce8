// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace suture::cli {

namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string label_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') {
      out += '\\';
    }
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

// Metrics come in families: one heading, then its samples.
class Metrics {
 public:
  void family(std::string_view name, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help);
  }
  void sample(const Labels& labels, double value) {
    std::string inside;
    for (const auto& [label, text] : labels) {
      inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", label, label_escaped(text));
    }
    text_ += fmt::format("{}{}{}{} {:g}\n", name_, inside.empty() ? "" : "{", inside,
                         inside.empty() ? "" : "}", value);
  }
  std::string take() && { return std::move(text_); }

 private:
  std::string_view name_;
  std::string text_;
};

void patch_metrics(const live::MachineStatus& status, Metrics& metrics) {
  metrics.family("suture_patch_info", "A loaded patch, its version, core and model.");
  for (const live::PatchStatus& it : status.patches) {
    metrics.sample({{"patch", it.patch.name},
                    {"version", it.metadata ? it.metadata->version : ""},
                    {"core", std::string(it.patch.core->name)},
                    {"model", it.patch.model}},
                   1);
  }
  metrics.family("suture_patch_in_force", "The patch is on, and no task runs old code.");
  for (const live::PatchStatus& it : status.patches) {
    metrics.sample({{"patch", it.patch.name}}, live::in_force(it.patch) ? 1 : 0);
  }
  metrics.family("suture_patch_in_transition", "The patch is in transition.");
  for (const live::PatchStatus& it : status.patches) {
    metrics.sample({{"patch", it.patch.name}}, it.patch.transition ? 1 : 0);
  }
  metrics.family("suture_patch_functions", "Functions that the patch replaces.");
  for (const live::PatchStatus& it : status.patches) {
    std::size_t count = 0;
    for (const machine::PatchedObject& object : it.patch.objects) {
      count += object.functions.size();
    }
    metrics.sample({{"patch", it.patch.name}}, static_cast<double>(count));
  }
  metrics.family("suture_trial_seconds_left", "Until the patch on trial is taken back.");
  for (const live::PatchStatus& it : status.patches) {
    if (it.record && it.record->trial_seconds > 0) {
      metrics.sample({{"patch", it.patch.name}},
                     std::max(0.0, it.record->deadline - live::seconds_since_boot()));
    }
  }
}

// What Suture's own core measures of its patches.
void core_metrics(const live::MachineStatus& status, Metrics& metrics) {
  const auto seconds = [&](std::string_view name, std::string_view help, auto member) {
    metrics.family(name, help);
    for (const live::PatchStatus& it : status.patches) {
      if (const std::optional<long>& nanoseconds = it.patch.*member) {
        metrics.sample({{"patch", it.patch.name}}, static_cast<double>(*nanoseconds) * 1e-9);
      }
    }
  };
  seconds("suture_patch_pause_seconds", "The machine stood still for the patch's last switch.",
          &machine::LoadedPatch::pause_ns);
  seconds("suture_patch_transition_seconds", "The patch's last transition took.",
          &machine::LoadedPatch::transition_ns);
  metrics.family("suture_patch_settled", "All calls go directly to the patch's code.");
  for (const live::PatchStatus& it : status.patches) {
    if (it.patch.settled) {
      metrics.sample({{"patch", it.patch.name}}, *it.patch.settled ? 1 : 0);
    }
  }
}

}  // namespace

std::string prometheus_text(const live::MachineStatus& status) {
  Metrics metrics;
  patch_metrics(status, metrics);
  core_metrics(status, metrics);
  metrics.family("suture_blocking_tasks", "Tasks that the transition under way waits for.");
  metrics.sample({}, static_cast<double>(status.waiting));
  metrics.family("suture_cve_fixed", "A vulnerability that a patch in force fixes.");
  for (const std::string& cve : status.cves) {
    metrics.sample({{"cve", cve}}, 1);
  }
  metrics.family("suture_conflicts",
                 "Attachments that take effect away from a patch, or the "
                 "patch from them.");
  metrics.sample({}, static_cast<double>(std::ranges::count_if(
                         status.attached.found, [](const machine::Attachment& it) {
                           return it.effect != machine::Effect::beside;
                         })));
  metrics.family("suture_changed_modules", "Patched modules that their patch was not built for.");
  metrics.sample({}, static_cast<double>(status.changed_modules.size()));
  metrics.family("suture_dropped_modules", "Modules in memory whose patch is not in force.");
  metrics.sample({}, static_cast<double>(status.dropped.size()));
  return std::move(metrics).take();
}

}  // namespace suture::cli
