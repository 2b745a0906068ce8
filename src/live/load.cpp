// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: turn one patch on or off on a live machine, and know at every moment which state it is
// in. Method: check what can be checked beforehand, let the kernel do the work, wait for its words
// and look at its `transition` file, and when something fails fetch the kernel's own words from its
// log. A record under /run says what this process has undertaken, for the case that it is killed.
// Invariant: a load that ends with an error has either taken the patch back or says that it did not
// (and an interrupt undoes nothing); an error names the state that is left.
#include "live/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libkmod.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "base/process.h"
#include "kernel/module_image.h"
#include "live/records.h"
#include "live/trial.h"
#include "machine/ftrace_uses.h"
#include "machine/kernel_log.h"

namespace suture::live {

namespace {

// What the kernel said since `log` was opened, as one line.
std::string kernel_words(std::optional<machine::LogReader>& log) {
  std::string words;
  while (log) {
    auto record = log->next();
    if (!record) {
      break;
    }
    // Every patch taints; that is no reason for anything.
    if (record->from_kernel && record->text.find("taint") == std::string::npos) {
      words += (words.empty() ? "" : "; ") + record->text;
    }
  }
  return words;
}

std::unexpected<Error> insert_failed(const std::string& where, int err, const std::string& words) {
  std::string reason = fmt::format("the kernel refuses the module: {}", std::strerror(err));
  if (!words.empty()) {
    reason += fmt::format(" ({})", words);
  }
  switch (err) {
    case EPERM:
    case EACCES:
      return fail(Code::not_permitted, where, std::move(reason),
                  "run as root, outside of a container, with secure boot's lockdown off or the "
                  "module signed");
    case EKEYREJECTED:
    case ENOKEY:
      return fail(Code::load_failed, where, std::move(reason),
                  "sign the module with a key that this kernel trusts");
    case EEXIST:
      return fail(Code::busy, where, std::move(reason), "unload the module of that name first");
    case EBUSY:
      // Suture's core says so of a patch that it stopped the machine for, again and again.
      if (words.find("stayed busy") != std::string::npos) {
        return fail(Code::transition_incomplete, where,
                    fmt::format("nothing has changed: whenever the machine was stopped, tasks were "
                                "inside of the functions ({})",
                                words),
                    "wait for them, or load it by another model: --model hybrid");
      }
      return fail(Code::busy, where, std::move(reason),
                  "load it again when what is in its way is gone");
    default:
      // The kernel compares the versions of imports; those of this name are Suture's core's.
      return fail(Code::load_failed, where, std::move(reason),
                  words.find("symbol suture_") != std::string::npos
                      ? "build it again, or exchange the core (suture core unload, suture core "
                        "load): it was built for another than the one that is loaded"
                      : "compare what it is for with this kernel: suture inspect MODULE");
  }
}

// Inserts a module file; its kernel-side start has ended when this returns.
Status insert_file(const machine::Machine& machine, const fs::path& path,
                   const std::string& parameters) {
  std::optional<machine::LogReader> log;
  if (auto reader = machine::LogReader::open(machine.log, machine::LogReader::From::now)) {
    log.emplace(std::move(*reader));
  }
  std::unique_ptr<kmod_ctx, decltype(&kmod_unref)> context(kmod_new(nullptr, nullptr), kmod_unref);
  if (!context) {
    return fail(Code::io, path.string(), "libkmod does not start", "check that memory is free");
  }
  kmod_set_log_priority(context.get(), -1);  // its own lines would mix with ours
  kmod_module* raw = nullptr;
  int err = -kmod_module_new_from_path(context.get(), path.c_str(), &raw);
  std::unique_ptr<kmod_module, decltype(&kmod_module_unref)> module(raw, kmod_module_unref);
  if (err != 0) {
    return fail_errno(err, path.string(), "open");
  }
  err = -kmod_module_insert_module(module.get(), 0, parameters.c_str());
  if (err != 0) {
    return insert_failed(path.string(), err, kernel_words(log));
  }
  return {};
}

// How the kernel stands to a patch, without what it changes.
struct Look {
  bool there = false;
  bool enabled = false;
  bool transition = false;
};

Look look(const machine::Machine& machine, const std::string& name) {
  auto found = machine::find_patch(machine, name);
  if (!found || !*found) {
    return {};
  }
  return {.there = true, .enabled = (*found)->enabled, .transition = (*found)->transition};
}

std::unexpected<Error> incomplete(const machine::Machine& machine, const std::string& name,
                                  double seconds, const std::string& outcome,
                                  const std::string& remedy) {
  auto found = machine::find_patch(machine, name);
  std::vector<machine::BlockingTask> tasks;
  if (found && *found) {
    tasks = machine::blocking_tasks(machine, **found);
  }
  return fail(
      Code::transition_incomplete, name,
      fmt::format("{} after {:g} s{}; {}{}{}", "the transition was not over", seconds, outcome,
                  tasks.size() == 1 ? "1 task waits to switch"
                                    : fmt::format("{} tasks wait to switch", tasks.size()),
                  tasks.empty() ? "" : ": ", machine::describe(tasks, 5)),
      remedy);
}

std::unexpected<Error> stopped_waiting(const std::string& name, std::string_view state) {
  return fail(Code::interrupted, name, fmt::format("interrupted; {}", state),
              fmt::format("see `suture status`; take it back with: suture unload {}", name));
}

// A module that the core has dropped may still be held for the moment in which its patch's
// directory goes.
Status remove_when_free(const machine::Machine& machine, const std::string& name,
                        CoreEvents& events) {
  const Patience patience{.deadline = 2};
  wait_until(machine, name, patience, events,
             [&] { return machine::module_references(machine, name).value_or(0) == 0; });
  return remove_module(name);
}

// The modules that the core has dropped do nothing any more. One that cannot go (others may use it,
// or a transition was forced) stays; those that the core had dropped `before` are not waited for.
void remove_dropped(const machine::Machine& machine, CoreEvents& events,
                    const std::vector<std::string>& before, LoadOutcome& outcome) {
  for (const std::string& name : machine::dropped_modules(machine)) {
    const bool old = std::ranges::find(before, name) != before.end();
    if (std::string why = machine::pinned_by(machine, name); !why.empty()) {
      remove_record(machine, name);
      if (!old) {
        outcome.staying.push_back({name, std::move(why)});
      }
    } else if (old ? remove_module(name) : remove_when_free(machine, name, events)) {
      remove_record(machine, name);
      outcome.removed.push_back(name);
    }
  }
}

// Turns the patch off. Where its core had to stop the machine for that, and never found its
// functions free, those inside are named.
Status turn_off(const machine::Machine& machine, const std::string& name) {
  Status done = machine::set_enabled(machine, name, false);
  if (done || done.error().code == Code::not_loaded) {
    return {};  // also one that is gone this very moment
  }
  auto found = machine::find_patch(machine, name);
  const auto inside = found && *found && done.error().code == Code::busy
                          ? machine::tasks_inside(machine, **found)
                          : std::vector<machine::BlockingTask>{};
  if (inside.empty()) {
    return done;
  }
  return fail(Code::transition_incomplete, name,
              fmt::format("the patch stays in force: whenever the machine was stopped, tasks were "
                          "inside of its functions: {}",
                          machine::describe(inside, 5)),
              fmt::format("wait for them, or take it back by another model: "
                          "suture unload --model hybrid {}",
                          name));
}

// Turns the patch off and its module out, where it is not `pinned`. Nothing where that is done,
// else how the wait ended.
Result<std::optional<Waited>> take_out(const machine::Machine& machine, const std::string& name,
                                       const Patience& patience, CoreEvents& events, bool pinned) {
  Status turned_off;
  // The core drops its reference to the module after it has removed the patch's directory.
  Waited waited = wait_until(machine, name, patience, events, [&] {
    const Look now = look(machine, name);
    // Not only at first: a patch that is just being turned on by another process shows it late.
    if (now.enabled) {
      turned_off = turn_off(machine, name);
    }
    return !turned_off ||
           (!now.there && machine::module_references(machine, name).value_or(0) == 0);
  });
  TRY(turned_off);
  if (waited == Waited::interrupted || (waited == Waited::deadline && look(machine, name).there)) {
    return waited;
  }
  if (!pinned) {
    TRY(remove_module(name));
  }
  return std::nullopt;
}

// The deadline has passed: what becomes of the patch.
std::unexpected<Error> give_up(const machine::Machine& machine, const std::string& name,
                               const LoadOptions& options, CoreEvents& events) {
  const double seconds = options.patience.deadline;
  const std::string by_hand = fmt::format(
      "see what is in the way: suture status; then: suture signal, or suture unload {}", name);
  if (!options.revert) {
    return incomplete(machine, name, seconds, ", and goes on by itself", by_hand);
  }
  // What was in the way is only known before the patch goes back.
  auto found = machine::find_patch(machine, name);
  const std::string who = found && *found
                              ? machine::describe(machine::blocking_tasks(machine, **found), 5)
                              : std::string{};
  const std::string pinned = machine::pinned_by(machine, name);
  auto out = take_out(machine, name, options.patience, events, !pinned.empty());
  if (!out) {
    Error error = out.error();
    error.reason =
        fmt::format("the transition was not over after {:g} s, and cannot be reversed: {}", seconds,
                    error.reason);
    return std::unexpected(std::move(error));
  }
  if (*out) {
    return incomplete(machine, name, seconds, "; the way back, too, is under way", by_hand);
  }
  return fail(
      Code::transition_incomplete, name,
      fmt::format("the transition was not over after {:g} s, so the patch was taken back{}{}{}{}",
                  seconds, who.empty() ? "" : "; in the way were: ", who,
                  pinned.empty() ? "" : "; its module stays in memory: others may use ", pinned),
      fmt::format("end or wake what was in the way and load it again{}, with a longer --deadline, "
                  "or with --no-revert",
                  pinned.empty() ? "" : ", built under another name (suture build -n)"));
}

// Why the kernel did not take the module: where a check fails, that says it better.
std::unexpected<Error> explain(const machine::Machine& machine, const fs::path& module,
                               Error error) {
  auto checked = check::check_module(machine, module, check::Depth::everything);
  auto failure = checked ? checked->failure(module.string()) : std::nullopt;
  if (failure) {
    error.code = failure->code;
    error.reason = fmt::format("{}; {}", failure->reason, error.reason);
    error.remedy = failure->remedy;
  }
  return std::unexpected(std::move(error));
}

// The record of the load, from before the module is inserted. Gone when this goes, unless it was
// kept.
class Undertaking {
 public:
  Undertaking(const machine::Machine& machine, std::string name)
      : machine_(machine), name_(std::move(name)) {}
  Undertaking(const Undertaking&) = delete;
  Undertaking& operator=(const Undertaking&) = delete;
  ~Undertaking() {
    if (!kept_) {
      remove_record(machine_, name_);
    }
  }

  Status begin(const LoadOptions& options) const {
    const double seconds = options.patience.deadline;
    if (options.trial_seconds) {
      return prepare_trial(machine_, name_, seconds, *options.trial_seconds);
    }
    Record record{.patch = name_, .deadline = options.revert ? seconds_since_boot() + seconds : 0};
    keep_by_this_process(machine_, record);
    // Only `status` would miss it.
    std::ignore = write_record(machine_, record);
    return {};
  }
  void keep() { kept_ = true; }

 private:
  const machine::Machine& machine_;
  std::string name_;
  bool kept_ = false;
};

// The module's parameters, the model among them.
Result<std::string> parameters_of(const module::Metadata& metadata, const LoadOptions& options) {
  if (options.model.empty()) {
    return options.parameters;
  }
  if (&machine::core_of(metadata) != &machine::suture_core) {
    return fail(Code::usage, metadata.name,
                "the model cannot be chosen: it is a patch for the kernel's own livepatch core, "
                "which is always hybrid",
                "leave --model out, or build it with --for suture");
  }
  return fmt::format("{}{}model={}", options.parameters, options.parameters.empty() ? "" : " ",
                     options.model);
}

// Whom it takes over from without their fixes must be told to it.
Status nothing_lost(const check::CheckedModule& checked, const fs::path& module,
                    const std::vector<std::string>& may_lose) {
  auto lost = std::ranges::find_if(checked.checks, [&](const check::Check& check) {
    return check.code == Code::fix_lost &&
           std::ranges::find(may_lose, check.patch) == may_lose.end();
  });
  if (lost == checked.checks.end()) {
    return {};
  }
  return fail(Code::fix_lost, module.string(), lost->detail, lost->remedy);
}

// How many of the patch's functions ftrace leads to new code: by a handler that may change where a
// call goes, or by a direct call into the patch's module. load-failed where it is not all of them.
Result<std::optional<std::size_t>> count_redirected(const machine::Machine& machine,
                                                    const machine::LoadedPatch& patch) {
  const auto uses = machine::ftrace_uses(machine);
  if (!uses) {
    return std::nullopt;
  }
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> there;
  for (const machine::FtraceUse& use : *uses) {
    if (use.redirects || use.target.ends_with(fmt::format("[{}]", patch.name))) {
      ++there[{use.module.empty() ? "vmlinux" : std::string_view(use.module), use.function}];
    }
  }
  std::size_t count = 0;
  std::string missing;
  for (const machine::PatchedObject& object : patch.objects) {
    if (!object.patched) {
      continue;
    }
    for (const machine::RedirectedFunction& function : object.functions) {
      std::size_t& left = there[{object.name, function.name}];
      if (left == 0) {
        missing += (missing.empty() ? "" : ", ") + function.name;
      } else {
        --left;
        ++count;
      }
    }
  }
  if (!missing.empty()) {
    return fail(
        Code::load_failed, patch.name,
        fmt::format("the patch is on, but ftrace does not lead these to new code: {}", missing),
        fmt::format("take it back: suture unload {}; and report it with what stands in "
                    "/sys/kernel/tracing/enabled_functions",
                    patch.name));
  }
  return count;
}

// What is to be told of a patch that is in force.
LoadOutcome outcome_of(const machine::LoadedPatch& patch, double seconds) {
  return {.name = patch.name,
          .core = std::string(patch.core->name),
          .model = patch.model,
          .pause_ns = patch.pause_ns,
          .transition_seconds = seconds};
}

}  // namespace

Result<LoadOutcome> load(const machine::Machine& machine, const fs::path& module,
                         const LoadOptions& options) {
  check::CheckedModule checked =
      TRY(check::check_module(machine, module, check::Depth::before_load));
  if (auto failure = checked.failure(module.string())) {
    return std::unexpected(std::move(*failure));
  }
  if (!options.replace) {
    TRY(nothing_lost(checked, module, options.may_lose));
  }
  const std::string name = checked.metadata.name;
  if (!machine::is_plain_name(name)) {
    return fail(Code::bad_module, module.string(), "what it gives as its name can be no module's",
                "build it again");
  }
  const std::string parameters = TRY(parameters_of(checked.metadata, options));
  const std::vector<std::string> dropped_before = machine::dropped_modules(machine);
  CoreEvents events(machine);
  Undertaking undertaking(machine, name);
  TRY(undertaking.begin(options));
  const double start = now_seconds();
  if (auto inserted = insert_file(machine, module, parameters); !inserted) {
    return explain(machine, module, std::move(inserted.error()));
  }
  Waited waited = wait_until(machine, name, options.patience, events,
                             [&] { return !look(machine, name).transition; });
  if (waited == Waited::deadline) {
    if (!options.revert && options.trial_seconds) {
      undertaking.keep();  // its keeper ends it
    }
    return give_up(machine, name, options, events);
  }
  if (waited == Waited::interrupted) {
    undertaking.keep();
    return stopped_waiting(name, "the patch is loaded, and its transition goes on by itself");
  }
  const auto patch = TRY(machine::find_patch(machine, name));
  if (!patch || !patch->enabled) {
    return fail(Code::load_failed, name,
                "the module is loaded, but its patch was taken back meanwhile, or never turned on",
                fmt::format("remove it: suture unload {}", name));
  }
  LoadOutcome outcome = outcome_of(*patch, now_seconds() - start);
  note_load(machine, name);
  auto redirected = count_redirected(machine, *patch);
  if (options.trial_seconds) {
    TRY(start_trial(machine, name));
    undertaking.keep();
  }
  remove_dropped(machine, events, dropped_before, outcome);
  std::ranges::copy_if(
      checked.checks, std::back_inserter(outcome.warnings),
      [](const check::Check& check) { return check.verdict == check::Verdict::warning; });
  outcome.redirected = TRY(std::move(redirected));
  return outcome;
}

Result<LoadOutcome> unload(const machine::Machine& machine, const std::string& name,
                           const LoadOptions& options) {
  TRY(machine::check_patch_name(name));
  const auto patch = TRY(machine::find_patch(machine, name));
  if (!patch && !machine::module_loaded(machine, name)) {
    remove_record(machine, name);
    return fail(Code::not_loaded, name, "no patch or module of that name is loaded",
                "see what is: suture list");
  }
  if (patch && !options.model.empty()) {
    TRY(machine::set_model(machine, name, options.model));
  }
  CoreEvents events(machine);
  const double start = now_seconds();
  std::string pinned = machine::pinned_by(machine, name);
  std::optional<Waited> waited =
      TRY(take_out(machine, name, options.patience, events, !pinned.empty()));
  if (waited == Waited::deadline) {
    return incomplete(machine, name, options.patience.deadline, ", and goes on by itself",
                      fmt::format("see `suture status`; then: suture unload {} again", name));
  }
  if (waited == Waited::interrupted) {
    return stopped_waiting(name, look(machine, name).there
                                     ? "the transition back goes on by itself, and the module "
                                       "stays loaded"
                                     : "the patch is off, and its module stays loaded");
  }
  remove_record(machine, name);
  LoadOutcome outcome{.name = name, .transition_seconds = now_seconds() - start};
  remove_dropped(machine, events, machine::dropped_modules(machine), outcome);
  if (!pinned.empty()) {
    outcome.staying.push_back({name, std::move(pinned)});
  }
  return outcome;
}

Result<machine::LoadedPatch> force(const machine::Machine& machine, const std::string& name) {
  TRY(machine::check_patch_name(name));
  auto patch = TRY(machine::find_patch(machine, name));
  if (!patch) {
    return fail(Code::not_loaded, name, "no patch of that name is loaded",
                "see what is: suture list");
  }
  if (!patch->transition) {
    return fail(Code::no_transition, name, "it is in no transition, so there is nothing to force",
                "see `suture status`");
  }
  CoreEvents events(machine);
  TRY(machine::force_transition(machine, name));
  // The kernel's own worker ends the transition; it comes by every second.
  Waited waited = wait_until(machine, name, Patience{.deadline = 10}, events,
                             [&] { return !look(machine, name).transition; });
  if (waited != Waited::done) {
    return incomplete(machine, name, 10, " although it was forced", "see `suture status`");
  }
  return *patch;
}

Status insert_module(const machine::Machine& machine, const fs::path& module) {
  kernel::ModuleImage image = TRY(kernel::ModuleImage::open(module));
  if (machine::module_loaded(machine, image.name())) {
    return {};
  }
  return insert_file(machine, module, {});
}

Status remove_module(const std::string& name) {
  if (::syscall(SYS_delete_module, name.c_str(), O_NONBLOCK) == 0) {
    return {};
  }
  int err = errno;
  if (err == ENOENT) {
    return {};  // another process was first
  }
  if (err == EWOULDBLOCK || err == EBUSY) {
    return fail(
        Code::busy, name,
        "the patch is off, but its module is still in use; where a transition was forced it "
        "stays so until the next boot",
        fmt::format("see /sys/module/{0}/holders, then: suture unload {0}", name));
  }
  return fail_errno(err, name, "remove the module");
}

}  // namespace suture::live
