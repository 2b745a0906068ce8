// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: turn one patch on or off on a live machine, and know at every moment which state it is
// in. Method: check what can be checked beforehand, let the kernel do the work, watch its
// `transition` file, and when something fails fetch the kernel's own words from its log. Invariant:
// nothing here undoes by itself what the caller did not ask to undo; an error names the state that
// is left.
#include "live/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libkmod.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "base/process.h"
#include "kernel/module_image.h"
#include "live/kernel_log.h"
#include "module/metadata.h"

namespace suture::live {

namespace {

constexpr int poll_milliseconds = 100;

enum class Waited { done, deadline, interrupted };

template <class Done>
Waited wait_until(double deadline, const Done& done) {
  for (;;) {
    if (done()) {
      return Waited::done;
    }
    if (interrupted()) {
      return Waited::interrupted;
    }
    if (now_seconds() >= deadline) {
      return Waited::deadline;
    }
    ::poll(nullptr, 0, poll_milliseconds);
  }
}

std::string running_release(const Machine& machine) {
  auto text = read_text(machine.proc / "sys" / "kernel" / "osrelease");
  return text ? text->substr(0, text->find('\n')) : std::string{};
}

// What the kernel said since `log` was opened, as one line.
std::string kernel_words(std::optional<LogReader>& log) {
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
    default:
      return fail(Code::load_failed, where, std::move(reason),
                  "compare what it is for with this kernel: suture inspect MODULE");
  }
}

// Inserts a module file; its kernel-side start has ended when this returns.
Status insert_file(const Machine& machine, const fs::path& path) {
  std::optional<LogReader> log;
  if (auto reader = LogReader::open(machine.log, LogReader::From::now)) {
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
  err = -kmod_module_insert_module(module.get(), 0, nullptr);
  if (err != 0) {
    return insert_failed(path.string(), err, kernel_words(log));
  }
  return {};
}

Status check_dependencies(const Machine& machine, const fs::path& path) {
  kernel::ModuleImage image = TRY(kernel::ModuleImage::open(path));
  for (const std::string& needed : image.depends()) {
    std::error_code ec;
    if (!module_loaded(machine, needed) && !fs::exists(machine.sys / "module" / needed, ec)) {
      return fail(Code::load_failed, path.string(),
                  fmt::format("it needs the module '{}', which is not loaded", needed),
                  fmt::format("run: modprobe {}", needed));
    }
  }
  return {};
}

// Everything that can be known before the kernel is asked. Gives the module's name.
Result<std::string> check_before_load(const Machine& machine, const fs::path& path) {
  std::vector<LoadedPatch> patches = TRY(loaded_patches(machine));
  module::Metadata metadata = TRY(module::read_metadata(path));
  const std::string release = running_release(machine);
  if (metadata.release != release) {
    return fail(Code::wrong_kernel, path.string(),
                fmt::format("it is for kernel {}, and this machine runs {}",
                            metadata.release.empty() ? "(unknown)" : metadata.release, release),
                fmt::format("build it for this kernel: suture build -k {} PATCH", release));
  }
  if (!metadata.livepatch) {
    return fail(Code::bad_module, path.string(), "it is not a livepatch module",
                "give a module that `suture build` made; other modules are modprobe's");
  }
  if (module_loaded(machine, metadata.name)) {
    return fail(Code::busy, metadata.name, "a module of that name is loaded already",
                fmt::format("suture unload {}, or build this patch under another name (-n)",
                            metadata.name));
  }
  for (const LoadedPatch& patch : patches) {
    if (patch.transition) {
      return fail(Code::busy, metadata.name,
                  fmt::format("the patch '{}' is still in transition", patch.name),
                  "wait until `suture status` shows no transition, then load again");
    }
  }
  TRY(check_dependencies(machine, path));
  return metadata.name;
}

std::unexpected<Error> incomplete(const Machine& machine, const std::string& name, bool enabled,
                                  double timeout) {
  std::vector<BlockingTask> tasks = blocking_tasks(machine, enabled);
  return fail(
      Code::transition_incomplete, name,
      fmt::format("{} is still under way after {:g} s; {} wait{} to switch{}{}",
                  enabled ? "the transition to the patch" : "the transition back", timeout,
                  tasks.size() == 1 ? "1 task" : fmt::format("{} tasks", tasks.size()),
                  tasks.size() == 1 ? "s" : "", tasks.empty() ? "" : ": ", describe(tasks, 5)),
      enabled
          ? fmt::format("it goes on by itself: suture status; or take it back: suture unload {0}",
                        name)
          : fmt::format("it goes on by itself: suture status; then suture unload {} again", name));
}

std::unexpected<Error> stopped_waiting(const std::string& name, std::string_view state) {
  return fail(Code::interrupted, name, fmt::format("interrupted; {}", state),
              fmt::format("see `suture status`; take it back with: suture unload {}", name));
}

}  // namespace

Result<LoadOutcome> load(const Machine& machine, const fs::path& module,
                         const LoadOptions& options) {
  const std::string name = TRY(check_before_load(machine, module));
  const double start = now_seconds();
  TRY(insert_file(machine, module));
  std::optional<LoadedPatch> patch;
  Waited waited = wait_until(start + options.timeout, [&] {
    auto found = find_patch(machine, name);
    patch = found ? std::move(*found) : std::nullopt;
    return !patch || !patch->transition;
  });
  if (waited == Waited::deadline) {
    return incomplete(machine, name, patch->enabled, options.timeout);
  }
  if (waited == Waited::interrupted) {
    return stopped_waiting(name, "the patch is loaded, and its transition goes on by itself");
  }
  if (!patch || !patch->enabled) {
    return fail(Code::load_failed, name,
                "the module is loaded, but its patch was taken back meanwhile, or never turned on",
                fmt::format("remove it: suture unload {}", name));
  }
  return LoadOutcome{.name = name, .transition_seconds = now_seconds() - start};
}

Result<LoadOutcome> unload(const Machine& machine, const std::string& name,
                           const LoadOptions& options) {
  std::optional<LoadedPatch> patch = TRY(find_patch(machine, name));
  if (!patch && !module_loaded(machine, name)) {
    return fail(Code::not_loaded, name, "no patch or module of that name is loaded",
                "see what is: suture list");
  }
  const double start = now_seconds();
  if (patch && patch->enabled) {
    TRY(set_enabled(machine, name, false));
  }
  // The core drops its reference to the module after it has removed the patch's directory.
  Waited waited = wait_until(start + options.timeout, [&] {
    auto found = find_patch(machine, name);
    patch = found ? std::move(*found) : std::nullopt;
    return !patch && module_references(machine, name).value_or(0) == 0;
  });
  if (waited == Waited::interrupted) {
    return stopped_waiting(name, patch ? "the transition back goes on by itself, and the module "
                                         "stays loaded"
                                       : "the patch is off, and its module stays loaded");
  }
  if (waited == Waited::deadline && patch) {
    return incomplete(machine, name, false, options.timeout);
  }
  const double transition = now_seconds() - start;
  TRY(remove_module(name));
  return LoadOutcome{.name = name, .transition_seconds = transition};
}

Status insert_module(const Machine& machine, const fs::path& module) {
  kernel::ModuleImage image = TRY(kernel::ModuleImage::open(module));
  if (module_loaded(machine, image.name())) {
    return {};
  }
  return insert_file(machine, module);
}

Status remove_module(const std::string& name) {
  if (::syscall(SYS_delete_module, name.c_str(), O_NONBLOCK) == 0) {
    return {};
  }
  int err = errno;
  if (err == EWOULDBLOCK || err == EBUSY) {
    return fail(Code::busy, name, "the patch is off, but its module is still in use",
                fmt::format("see /sys/module/{0}/holders, then: suture unload {0}", name));
  }
  return fail_errno(err, name, "remove the module");
}

}  // namespace suture::live
