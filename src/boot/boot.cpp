// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: bring a machine that boots, with nobody there, into the state that was installed, and
// never let that be what it dies of again and again.
// Method: read, judge, raise the guard, load. Cumulative patches are tried from the last one
// backwards, so that an older one stands in where the newer cannot be loaded; what comes after the
// one that is in force is loaded in the order in which it was installed. That is done for each core
// by itself; Suture's own is loaded first where a patch is for it.
// Invariants: no patch is loaded while the guard is not on the disk; a patch is checked just before
// it is loaded, in directories that only root can change.
#include "boot/boot.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <sstream>

#include "live/core_module.h"

namespace suture::boot {

namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string nothing_installed(const Store& store, const std::string& release) {
  std::string others;
  for (const std::string& other : installed_releases(store)) {
    others += (others.empty() ? "" : ", ") + other;
  }
  return fmt::format("no patch is installed for {}{}", release,
                     others.empty() ? "" : fmt::format("; there are patches for {}", others));
}

// Nothing would stop a patch that kills the machine from doing so at every boot.
template <class T>
Result<T> or_unguarded(Result<T> result) {
  if (!result) {
    result.error().reason += "; nothing is applied, since the boot guard cannot be raised";
  }
  return result;
}

class Applier {
 public:
  Applier(const machine::Machine& machine, const Store& store, const ApplyOptions& options,
          std::vector<InstalledPatch> patches, ApplyOutcome& out)
      : machine_(machine),
        store_(store),
        options_(options),
        patches_(std::move(patches)),
        out_(out) {}

  // A cumulative patch takes over only from those of its core.
  void all() {
    for (const machine::Core* core : machine::all_cores) {
      const std::vector<InstalledPatch> patches = of_core(patches_, core->name);
      const std::size_t start = take_base(patches);
      for (std::size_t i = start; i < patches.size() && !stopped_; ++i) {
        if (!patches[i].replace) {
          load_one(patches[i]);
        }
      }
    }
  }

 private:
  // Loads the last cumulative patch that can be. Gives the place after it: where the others start.
  std::size_t take_base(const std::vector<InstalledPatch>& patches) {
    for (std::size_t i = patches.size(); i > 0 && !stopped_; --i) {
      if (patches[i - 1].replace && (load_one(patches[i - 1]) || stopped_)) {
        for (std::size_t j = 0; j + 1 < i; ++j) {
          out_.superseded.push_back(patches[j].name);
        }
        return i;
      }
    }
    return 0;
  }

  bool load_one(const InstalledPatch& patch) {
    if (patch_enabled(machine_, patch.name)) {
      out_.applied.push_back({.name = patch.name, .was_loaded = true});
      return true;
    }
    auto loaded = check_and_load(patch);
    if (loaded) {
      out_.applied.push_back({.name = patch.name,
                              .transition_seconds = loaded->transition_seconds,
                              .removed = std::move(loaded->removed)});
      return true;
    }
    // One that is under way, forward or back, keeps out all others; and nothing stands in for one
    // that is only kept back until somebody says what may be given up.
    const auto left = machine::find_patch(machine_, patch.name);
    stopped_ = loaded.error().code == Code::interrupted || loaded.error().code == Code::fix_lost ||
               (left && *left);
    out_.failures.push_back(loaded.error());
    return false;
  }

  Result<live::LoadOutcome> check_and_load(const InstalledPatch& patch) {
    TRY(check_installed(store_, out_.release, patch));
    if (patch.core == machine::suture_core.name &&
        !machine::has_core(machine_, machine::suture_core)) {
      const fs::path core = TRY(core_for_boot(machine_, store_, out_.release));
      TRY(live::insert_core(machine_, core));
    }
    live::LoadOptions options = options_.load;
    // Whoever installed them was told what each replaces, and asked.
    std::ranges::transform(patches_, std::back_inserter(options.may_lose), &InstalledPatch::name);
    return live::load(machine_, store_.of(out_.release) / patch.file(), options);
  }

  const machine::Machine& machine_;
  const Store& store_;
  const ApplyOptions& options_;
  const std::vector<InstalledPatch> patches_;
  ApplyOutcome& out_;
  bool stopped_ = false;
};

}  // namespace

bool patch_enabled(const machine::Machine& machine, const std::string& name) {
  auto found = machine::find_patch(machine, name);
  return found && *found && (*found)->enabled;
}

bool switched_off(const machine::Machine& machine) {
  std::istringstream words(first_line(machine.proc / "cmdline"));
  for (std::string word; words >> word;) {
    if (word == "suture=off") {
      return true;
    }
  }
  return false;
}

std::optional<Error> held_back(const machine::Machine& machine, const std::string& release,
                               const Guard& guard, const std::vector<InstalledPatch>& patches) {
  if (!guard.raised || guard.boot_id == boot_id(machine)) {
    return std::nullopt;
  }
  std::string names;
  bool still_there = guard.patches.empty();  // not known: any of them may be
  for (const TriedPatch& tried : guard.patches) {
    names += (names.empty() ? "" : ", ") + tried.name;
    still_there = still_there || std::ranges::any_of(patches, [&](const InstalledPatch& it) {
                    return it.sha256 == tried.sha256;
                  });
  }
  if (!still_there) {
    return std::nullopt;
  }
  return Error{
      Code::boot_guard, release,
      fmt::format("nothing is applied: the machine died while, or soon after, it applied {} "
                  "(at {} UTC)",
                  names.empty() ? "its patches" : names,
                  guard.time.empty() ? "an unknown time" : guard.time),
      "find out which patch it was (journalctl -b -1 -k) and take it out: suture uninstall "
      "NAME; to apply them all the same: suture apply --retry"};
}

std::optional<Error> held_back(const machine::Machine& machine, const Store& store) {
  const std::string release = machine::running_release(machine);
  const auto patches = installed_patches(store, release);
  if (!patches) {
    return patches.error();
  }
  const auto guard = read_guard(store, release);
  return guard ? held_back(machine, release, *guard, *patches) : std::optional(guard.error());
}

Result<ApplyOutcome> apply_installed(const machine::Machine& machine, const Store& store,
                                     const ApplyOptions& options) {
  ApplyOutcome out{.release = machine::running_release(machine)};
  if (switched_off(machine)) {
    out.nothing = "suture=off is on the kernel's command line";
    return out;
  }
  if (TRY(installed_patches(store, out.release)).empty()) {
    out.nothing = nothing_installed(store, out.release);
    return out;
  }
  // Held until all is loaded: until then nobody can confirm that the machine is well.
  const FileLock lock = TRY(or_unguarded(lock_store(store)));
  const std::vector<InstalledPatch> patches = TRY(installed_patches(store, out.release));
  const Guard before = TRY(read_guard(store, out.release));
  std::optional<Error> held = held_back(machine, out.release, before, patches);
  if (held && !options.retry) {
    return std::unexpected(std::move(*held));
  }
  Guard guard{.raised = true, .boot_id = boot_id(machine), .time = utc_now()};
  for (const InstalledPatch& patch : patches) {
    guard.patches.push_back({patch.name, patch.sha256});
  }
  TRY(or_unguarded(write_guard(store, out.release, guard)));
  Applier(machine, store, options, patches, out).all();
  return out;
}

Result<fs::path> core_for_boot(const machine::Machine& machine, const Store& store,
                               const std::string& release) {
  const fs::path path = live::installed_core(machine, release);
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    return fail(Code::no_core, path.string(), "Suture's core is neither loaded nor installed",
                "install it: " + live::how_to_install_core(machine, release));
  }
  return trusted_path(store, path);
}

Result<bool> confirm(const machine::Machine& machine, const Store& store) {
  const std::string release = machine::running_release(machine);
  const auto waits = [&]() -> Result<bool> {
    const Guard guard = TRY(read_guard(store, release));
    return guard.raised && guard.boot_id == boot_id(machine);
  };
  if (!TRY(waits())) {
    return false;
  }
  const FileLock lock = TRY(try_lock_store(store));
  if (!TRY(waits())) {
    return false;
  }
  TRY(write_guard(store, release, Guard{}));
  return true;
}

}  // namespace suture::boot
