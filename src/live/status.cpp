// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "check/checks.h"
#include "machine/loaded_metadata.h"

namespace suture::live {

namespace {

// Those of the patches in force, each once: two patches may replace one function.
std::vector<machine::PatchedObject> redirected(const std::vector<PatchStatus>& patches) {
  std::vector<machine::PatchedObject> out;
  for (const PatchStatus& status : patches) {
    if (status.patch.enabled) {
      std::ranges::copy_if(status.patch.objects, std::back_inserter(out),
                           &machine::PatchedObject::patched);
    }
  }
  return out;
}

// Modules that came after the patch, and are not those that it was built for: the kernel patches
// them all the same.
void add_changed_modules(const machine::Machine& machine, const PatchStatus& status,
                         MachineStatus& out) {
  if (!status.metadata) {
    return;
  }
  for (const module::PatchedObject& object : status.metadata->objects) {
    if (object.name != "vmlinux" && !check::build_fits(machine, object).value_or(true)) {
      out.changed_modules.push_back(object.name);
    }
  }
}

void add_effective(const std::vector<PatchStatus>& patches, MachineStatus& out) {
  std::set<std::string> cves;
  for (const PatchStatus& status : patches) {
    if (!in_force(status.patch)) {
      continue;
    }
    out.effective += (out.effective.empty() ? "" : ", ") + status.patch.name;
    if (status.metadata) {
      if (!status.metadata->version.empty()) {
        out.effective += " " + status.metadata->version;
      }
      cves.insert(status.metadata->cves.begin(), status.metadata->cves.end());
    }
  }
  out.cves.assign(cves.begin(), cves.end());
}

// Functions that several patches replace: the one that was loaded last has them.
void add_shared(const std::vector<machine::LoadedPatch>& patches, machine::Attachments& out) {
  using Use = std::tuple<std::string_view, std::string_view, std::uint32_t, std::string_view>;
  std::vector<Use> uses;  // function, object, position, patch
  for (const machine::LoadedPatch& patch : patches) {
    for (const machine::PatchedObject& object : patch.objects) {
      for (const machine::RedirectedFunction& function : object.functions) {
        // One that is replacing all others shares everything with them for the time being.
        if (in_force(patch)) {
          uses.emplace_back(function.name, object.name, function.sympos, patch.name);
        }
      }
    }
  }
  std::ranges::sort(uses);
  for (std::size_t i = 1; i < uses.size(); ++i) {
    const auto& [function, object, sympos, patch] = uses[i];
    const auto& [function_before, object_before, sympos_before, patch_before] = uses[i - 1];
    if (function == function_before && object == object_before && sympos == sympos_before) {
      out.found.push_back(
          {.object = std::string(object),
           .function = std::string(function),
           .what = fmt::format("two patches, {} and {}, of which the later one has it",
                               patch_before, patch),
           .effect = machine::Effect::wins});
    }
  }
}

bool same_state(const std::vector<machine::LoadedPatch>& a,
                const std::vector<machine::LoadedPatch>& b) {
  return std::ranges::equal(a, b,
                            [](const machine::LoadedPatch& one, const machine::LoadedPatch& other) {
                              return one.name == other.name && one.enabled == other.enabled &&
                                     one.transition == other.transition;
                            });
}

// The patches, and the tasks in the way of one that is in transition. While one begins, the kernel
// shows the way it goes a moment late, and then the tasks would be those of the other side: so the
// patches must look the same before and after the tasks.
Result<std::vector<machine::LoadedPatch>> patches_and_tasks(const machine::Machine& machine,
                                                            MachineStatus& out) {
  constexpr int tries = 4;
  std::vector<machine::LoadedPatch> patches = TRY(machine::loaded_patches(machine));
  for (int i = 0; i < tries; ++i) {
    auto moving = std::ranges::find(patches, true, &machine::LoadedPatch::transition);
    if (moving == patches.end()) {
      out.blocking.clear();
      out.waiting = 0;
      break;
    }
    out.blocking = machine::blocking_tasks(machine, *moving);
    out.waiting = moving->core->states_in_proc ? out.blocking.size()
                                               : machine::count_blocking(machine, *moving);
    std::vector<machine::LoadedPatch> after = TRY(machine::loaded_patches(machine));
    const bool same = same_state(patches, after);
    patches = std::move(after);
    if (same) {
      break;
    }
  }
  return patches;
}

}  // namespace

bool in_force(const machine::LoadedPatch& patch) { return patch.enabled && !patch.transition; }

Result<MachineStatus> machine_status(const machine::Machine& machine) {
  MachineStatus out{.release = machine::running_release(machine)};
  const std::vector<machine::LoadedPatch> patches = TRY(patches_and_tasks(machine, out));
  const std::vector<Record> records = read_records(machine);
  for (const machine::LoadedPatch& patch : patches) {
    PatchStatus status{.patch = patch, .metadata = machine::loaded_metadata(machine, patch.name)};
    status.loaded_at = loaded_at(machine, patch.name);
    auto record = std::ranges::find(records, patch.name, &Record::patch);
    if (record != records.end()) {
      status.record = *record;
      status.keeper_alive = keeper_alive(machine, *record);
    }
    add_changed_modules(machine, status, out);
    out.patches.push_back(std::move(status));
  }
  out.attached = machine::attachments(machine, redirected(out.patches), patches);
  add_shared(patches, out.attached);
  for (std::string& name : machine::dropped_modules(machine)) {
    if (std::string why = machine::pinned_by(machine, name); !why.empty()) {
      out.staying.push_back({std::move(name), std::move(why)});
    } else {
      out.dropped.push_back(std::move(name));
    }
  }
  add_effective(out.patches, out);
  return out;
}

std::string undertaking_text(const PatchStatus& status) {
  if (!status.record) {
    return status.patch.transition
               ? fmt::format(
                     "nobody waits for its transition; it goes on by itself, or is taken "
                     "back by: suture unload {}",
                     status.patch.name)
               : "";
  }
  const Record& record = *status.record;
  const std::string gone =
      status.keeper_alive
          ? ""
          : fmt::format(", but the process that would see to that ({}) is gone", record.pid);
  if (record.kind == Record::Kind::reverting) {
    return fmt::format("its trial is over: it is being taken back{}{}", gone,
                       gone.empty() ? "" : "; run: suture unload " + record.patch);
  }
  const double left = std::max(0.0, record.deadline - seconds_since_boot());
  if (record.trial_seconds > 0) {
    return fmt::format("on trial: it is taken back in {:.0f} s unless accepted{}{}",
                       std::ceil(left), gone,
                       gone.empty() ? "" : "; run: suture accept or suture unload " + record.patch);
  }
  if (!status.keeper_alive) {
    return fmt::format(
        "the `suture load` that waited for it ({}) is gone, and nothing takes it "
        "back by itself{}",
        record.pid, status.patch.transition ? "; its transition goes on" : "; it is complete");
  }
  return record.deadline == 0
             ? fmt::format("a `suture load` ({}) waits for it", record.pid)
             : fmt::format(
                   "a `suture load` ({}) waits for it, and takes it back in {:.0f} s if "
                   "it is not over",
                   record.pid, std::ceil(left));
}

}  // namespace suture::live
