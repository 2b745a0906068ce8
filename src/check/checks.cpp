// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: find out whether a module may be loaded here, and would have its effect, before anything
// is changed. Method: each check compares one thing that the module says about itself with what the
// running kernel says; all are made, so that one look shows everything. Invariant: what cannot be
// read is `unknown` and never `ok`, and only what is known to be wrong is `failed`.
#include "check/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "check/kernel_checks.h"
#include "check/replacing.h"
#include "check/shared_checks.h"
#include "elf/object.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/module_image.h"
#include "kernel/trusted_keys.h"
#include "machine/loaded_metadata.h"
#include "machine/signing_policy.h"
#include "module/states.h"

namespace suture::check {

namespace {

Check name_check(const machine::Machine& machine, const module::Metadata& metadata) {
  if (!machine::module_loaded(machine, metadata.name)) {
    return {.id = "name", .detail = metadata.name + " is free"};
  }
  const std::string pinned = machine::pinned_by(machine, metadata.name);
  const auto patch = machine::find_patch(machine, metadata.name);
  if (!pinned.empty() && patch && !*patch) {
    return {.id = "name",
            .verdict = Verdict::failed,
            .detail = fmt::format("the patch {} was here and is off, and its module stays in "
                                  "memory until the next boot: others may use {}",
                                  metadata.name, pinned),
            .remedy = "build this patch under another name (suture build -n), and load that",
            .code = Code::busy};
  }
  return {.id = "name",
          .verdict = Verdict::failed,
          .detail = fmt::format("a module of the name {} is loaded already", metadata.name),
          .remedy = fmt::format("suture unload {}, or build this patch under another name (-n)",
                                metadata.name),
          .code = Code::busy};
}

Check transition_check(const std::vector<machine::LoadedPatch>& patches) {
  auto moving = std::ranges::find(patches, true, &machine::LoadedPatch::transition);
  if (moving == patches.end()) {
    return {.id = "transition", .detail = "none is under way"};
  }
  return {.id = "transition",
          .verdict = Verdict::failed,
          .detail = fmt::format("the patch '{}' is still in transition", moving->name),
          .remedy = "wait until `suture status` shows no transition, then load again",
          .code = Code::busy};
}

// The core that it is for is there.
Check core_check(const machine::Machine& machine, const machine::Core& core) {
  if (machine::has_core(machine, core)) {
    return {.id = "core", .detail = std::string(core.name)};
  }
  Check check{.id = "core", .verdict = Verdict::failed};
  if (&core == &machine::suture_core) {
    check.detail = "it is for Suture's own core, which is not loaded";
    check.remedy = "suture core load";
    check.code = Code::no_core;
  } else {
    check.detail = "the running kernel has no livepatch core, or sysfs is not mounted";
    check.remedy = "mount sysfs at /sys; without CONFIG_LIVEPATCH: suture build --for suture";
    check.code = Code::no_livepatch;
  }
  return check;
}

// Without ftrace no core can redirect anything.
Check ftrace_check(const machine::Machine& machine) {
  if (first_line(machine.proc / "sys" / "kernel" / "ftrace_enabled") != "0") {
    return {.id = "ftrace", .detail = "it is on"};
  }
  return {.id = "ftrace",
          .verdict = Verdict::failed,
          .detail = "kernel.ftrace_enabled is 0: no function can be redirected",
          .remedy = "sysctl kernel.ftrace_enabled=1",
          .code = Code::ftrace_off};
}

Check dependencies_check(const machine::Machine& machine, const kernel::ModuleImage& image) {
  std::string all;
  for (std::string needed : image.depends()) {
    std::ranges::replace(needed, '-', '_');
    std::error_code ec;
    if (!machine::module_loaded(machine, needed) &&
        !fs::exists(machine.sys / "module" / needed, ec)) {
      return {.id = "dependencies",
              .verdict = Verdict::failed,
              .detail = fmt::format("it needs the module '{}', which is not loaded", needed),
              .remedy = fmt::format("run: modprobe {}", needed)};
    }
    all += (all.empty() ? "" : ", ") + needed;
  }
  return {.id = "dependencies", .detail = all.empty() ? "none" : all};
}

// What the object was when the patch was built, against what is loaded.
Check build_id_check(const machine::Machine& machine, const module::PatchedObject& object) {
  const bool kernel = object.name == "vmlinux";
  const std::string id =
      kernel ? "kernel-build-id" : fmt::format("module-build-id {}", object.name);
  if (!kernel && !machine::module_loaded(machine, object.name)) {
    return {.id = id, .detail = "not loaded: patched when it comes"};
  }
  const std::string running = machine::running_build_id(machine, object.name);
  const std::optional<bool> fits = build_fits(machine, object);
  if (!fits) {
    return {.id = id,
            .verdict = Verdict::unknown,
            .detail = object.build_id.empty() ? "the patch does not say which it is for"
                                              : "what is loaded does not say which it is",
            .remedy = object.build_id.empty() ? "build it with Suture" : "mount sysfs at /sys"};
  }
  if (*fits) {
    return {.id = id, .detail = running};
  }
  return {.id = id,
          .verdict = Verdict::failed,
          .detail = fmt::format("it is for the {} with build-id {}, and {} is loaded", object.name,
                                object.build_id, running),
          .remedy = kernel ? "build it for the kernel that runs, not for one of the same release"
                           : "build it for the module that is loaded",
          .code = Code::wrong_kernel};
}

Check signature_check(const machine::Machine& machine, const fs::path& module, Depth depth) {
  Check check{.id = "signature"};
  if (first_line(machine.proc / "sys" / "kernel" / "modules_disabled") == "1") {
    check.verdict = Verdict::failed;
    check.detail = "this machine takes no modules any more (kernel.modules_disabled)";
    check.remedy = "reboot it into a kernel with the fix";
    check.code = Code::not_permitted;
    return check;
  }
  auto file = MappedFile::open(module);
  const ByteView bytes = file ? file->bytes() : ByteView{};
  machine::SigningFacts facts = machine::signing_facts(machine);
  machine::SigningVerdict verdict = machine::would_be_accepted(facts, bytes);
  if (verdict.acceptance == machine::Acceptance::unknown && depth == Depth::everything) {
    facts.builtin = machine::builtin_keys(machine);
    verdict = machine::would_be_accepted(facts, bytes);
  }
  if (verdict.acceptance == machine::Acceptance::no) {
    check.verdict = Verdict::failed;
    check.code = Code::not_permitted;
  } else if (verdict.acceptance == machine::Acceptance::unknown) {
    check.verdict = Verdict::unknown;
  }
  check.detail = std::move(verdict.reason);
  check.remedy = std::move(verdict.remedy);
  return check;
}

std::vector<machine::PatchedObject> redirected_objects(const module::Metadata& metadata) {
  std::vector<machine::PatchedObject> out;
  for (const module::PatchedObject& object : metadata.objects) {
    machine::PatchedObject entry{.name = object.name};
    for (const module::PatchedFunction& function : object.functions) {
      if (!function.is_new) {
        entry.functions.push_back({.name = function.name, .sympos = function.sympos});
      }
    }
    out.push_back(std::move(entry));
  }
  return out;
}

bool replaces(const module::Metadata& metadata, const std::string& object,
              const std::string& function) {
  return std::ranges::any_of(metadata.objects, [&](const module::PatchedObject& it) {
    return it.name == object &&
           std::ranges::any_of(it.functions, [&](const module::PatchedFunction& mine) {
             return !mine.is_new && mine.name == function;
           });
  });
}

// Another patch on the same function: of one core the later one wins, without what the earlier one
// changed; of two, ftrace would let only one of them redirect it.
void other_patches(const module::Metadata& metadata, const machine::Core& core,
                   const std::vector<machine::LoadedPatch>& patches, std::vector<Check>& checks) {
  for (const machine::LoadedPatch& patch : patches) {
    const bool same_core = patch.core == &core;
    if (same_core && metadata.replace) {
      continue;
    }
    for (const machine::PatchedObject& object : patch.objects) {
      for (const machine::RedirectedFunction& function : object.functions) {
        if (!replaces(metadata, object.name, function.name)) {
          continue;
        }
        Check check{.id = "patches", .verdict = Verdict::warning, .code = Code::busy};
        check.detail = fmt::format("{} is patched by '{}' already, ", function.name, patch.name);
        if (same_core) {
          check.detail += "and this patch would undo that change";
          check.remedy = "build both diffs into one patch that replaces the other";
        } else {
          check.verdict = Verdict::failed;
          check.detail += fmt::format("which is of another core ({})", patch.core->name);
          check.remedy = fmt::format("suture unload {}, or build for that core: --for {}",
                                     patch.name, patch.core->name);
        }
        checks.push_back(std::move(check));
      }
    }
  }
}

// What the patch says of itself, or what its core knows of it.
module::Metadata about(const machine::Machine& machine, const machine::LoadedPatch& patch) {
  if (auto said = machine::loaded_metadata(machine, patch.name)) {
    said->name = patch.name;
    return std::move(*said);
  }
  module::Metadata out{.name = patch.name};
  for (const machine::PatchedObject& object : patch.objects) {
    module::PatchedObject& entry = out.objects.emplace_back();
    entry.name = object.name;
    for (const machine::RedirectedFunction& function : object.functions) {
      entry.functions.push_back({.name = function.name, .sympos = function.sympos});
    }
  }
  return out;
}

// From whom a cumulative patch takes over, and what stops being fixed.
void replacing_checks(const machine::Machine& machine, const module::Metadata& metadata,
                      const machine::Core& core, const std::vector<machine::LoadedPatch>& patches,
                      std::vector<Check>& checks) {
  std::string names;
  for (const machine::LoadedPatch& patch : patches) {
    if (patch.core != &core || !metadata.replace || patch.name == metadata.name) {
      continue;
    }
    names += (names.empty() ? "" : ", ") + patch.name;
    const Loss loss = lost_to(metadata, about(machine, patch));
    if (!loss.any()) {
      continue;
    }
    checks.push_back(
        {.id = "loss",
         .verdict = Verdict::warning,
         .detail = fmt::format("{}: {}", describe(loss),
                               loss.fix_lost
                                   ? "that fix is not in this patch, which replaces it"
                                   : "this patch, which replaces it, has the fix in another form"),
         .remedy = loss.fix_lost
                       ? fmt::format("build the diffs of '{}' into it, or give that fix up "
                                     "(--replace)",
                                     patch.name)
                       : "see that this is meant",
         .code = loss.fix_lost ? Code::fix_lost : Code::load_failed,
         .patch = patch.name});
  }
  checks.push_back(
      {.id = "replaces",
       .detail = names.empty() ? "it replaces no patch" : "it replaces these patches: " + names});
}

// The system states that it modifies, against those of the patches that its core has.
Check states_check(const machine::Machine& machine, const module::Metadata& metadata,
                   const machine::Core& core, const std::vector<machine::LoadedPatch>& patches) {
  std::vector<module::PatchStates> loaded;
  std::string silent;
  for (const machine::LoadedPatch& patch : patches) {
    if (patch.core != &core) {
      continue;
    }
    if (auto about = machine::loaded_metadata(machine, patch.name)) {
      loaded.push_back(module::states_of(*about));
    } else {
      silent += (silent.empty() ? "" : ", ") + patch.name;
    }
  }
  if (auto against = module::judge_states(module::states_of(metadata), loaded)) {
    return {.id = "states",
            .verdict = Verdict::failed,
            .detail = against->reason,
            .remedy = against->remedy,
            .code = against->code};
  }
  if (!silent.empty() && (metadata.replace || !metadata.states.empty())) {
    return {.id = "states",
            .verdict = Verdict::unknown,
            .detail = "these do not say which states they modify: " + silent,
            .remedy = "the kernel checks them when it is loaded"};
  }
  return {.id = "states",
          .detail = metadata.states.empty() ? "it modifies none" : "they fit what is loaded"};
}

void conflict_checks(const machine::Machine& machine, const module::Metadata& metadata,
                     const machine::Core& core, const std::vector<machine::LoadedPatch>& patches,
                     std::vector<Check>& checks) {
  replacing_checks(machine, metadata, core, patches, checks);
  const std::size_t before = checks.size();
  other_patches(metadata, core, patches, checks);
  const machine::Attachments attached =
      machine::attachments(machine, redirected_objects(metadata), patches, &core);
  for (const machine::Attachment& it : attached.found) {
    checks.push_back(conflict(it));
  }
  if (!attached.unreadable.empty()) {
    std::string kinds;
    for (const std::string& kind : attached.unreadable) {
      kinds += (kinds.empty() ? "" : ", ") + kind;
    }
    checks.push_back(
        {.id = "conflicts",
         .verdict = Verdict::unknown,
         .detail = fmt::format("who else is at the functions cannot be read: {}", kinds),
         .remedy = "run it as root, with debugfs at /sys/kernel/debug"});
  } else if (checks.size() == before) {
    checks.push_back({.id = "conflicts", .detail = "nothing else is at these functions"});
  }
}

}  // namespace

std::string_view verdict_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "ok";
    case Verdict::warning: return "warning";
    case Verdict::failed: return "failed";
    case Verdict::unknown: return "unknown";
  }
  return "";
}

Check conflict(const machine::Attachment& attachment) {
  Check check{.id = "conflicts", .verdict = Verdict::warning, .code = Code::busy};
  const std::string what = fmt::format("{} has {}", attachment.function, attachment.what);
  switch (attachment.effect) {
    case machine::Effect::beside:
      check.id = "beside";
      check.verdict = Verdict::ok;
      check.detail = what + ", which goes on beside the patch";
      break;
    case machine::Effect::silenced:
      check.detail = what + ", in code that no longer runs: it never fires";
      check.remedy = "set it again on the new function, or at the entry";
      break;
    case machine::Effect::wins:
      check.detail = what + ", which may keep the new code from running";
      check.remedy = "detach it; if it is a patch, unload one and build both diffs into one patch";
      break;
    case machine::Effect::refuses:
      check.verdict = Verdict::failed;
      check.detail = what + ", beside which the core refuses the patch";
      check.remedy = "detach it";
      break;
  }
  return check;
}

std::optional<bool> build_fits(const machine::Machine& machine,
                               const module::PatchedObject& object) {
  const std::string running = machine::running_build_id(machine, object.name);
  if (running.empty() || object.build_id.empty()) {
    return std::nullopt;
  }
  return running == object.build_id;
}

std::optional<Error> CheckedModule::failure(const std::string& where) const {
  auto failed = std::ranges::find(checks, Verdict::failed, &Check::verdict);
  if (failed == checks.end()) {
    return std::nullopt;
  }
  return Error{failed->code, where, failed->detail, failed->remedy};
}

Result<CheckedModule> check_module(const machine::Machine& machine, const fs::path& module,
                                   Depth depth) {
  // Where there is no core at all, the check of the core says so.
  const std::vector<machine::LoadedPatch> patches =
      machine::loaded_patches(machine).value_or(std::vector<machine::LoadedPatch>{});
  const kernel::ModuleImage image = TRY(kernel::ModuleImage::open(module));
  CheckedModule out{.metadata = TRY(module::read_metadata(image.elf(), module.string())),
                    .checks = {}};
  const module::Metadata& metadata = out.metadata;
  std::vector<Check>& checks = out.checks;
  checks = {form_check(metadata), release_check(machine::running_release(machine), metadata)};
  for (const module::PatchedObject& object : metadata.objects) {
    checks.push_back(build_id_check(machine, object));
  }
  const machine::Core& core = machine::core_of(metadata);
  checks.push_back(core_check(machine, core));
  checks.push_back(ftrace_check(machine));
  checks.push_back(name_check(machine, metadata));
  checks.push_back(transition_check(patches));
  checks.push_back(dependencies_check(machine, image));
  checks.push_back(signature_check(machine, module, depth));
  checks.push_back(states_check(machine, metadata, core, patches));
  checks.push_back(removal_check(metadata));
  conflict_checks(machine, metadata, core, patches, checks);
  if (depth == Depth::everything) {
    std::ranges::move(kernel_checks(machine, module, metadata), std::back_inserter(checks));
  }
  return out;
}

}  // namespace suture::check
