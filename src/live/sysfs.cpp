// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: read a consistent picture of patches and tasks that may vanish while it is being read.
// Method: every file is read on its own; one that is gone (ENOENT, or ENODEV from an attribute
// whose object was removed) means that its patch, object or task is gone, which is no error.
// Invariant: a patch is only reported where its own `enabled` and `transition` could be read.
#include "live/sysfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace suture::live {

namespace {

fs::path patch_directory(const Machine& machine) { return machine.sys / "kernel" / "livepatch"; }

std::optional<std::string> read_line(const fs::path& path) {
  auto text = read_text(path);
  if (!text) {
    return std::nullopt;
  }
  return text->substr(0, text->find('\n'));
}

std::optional<long> read_number(const fs::path& path) {
  auto text = read_line(path);
  long value = 0;
  if (!text ||
      std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) {
    return std::nullopt;
  }
  return value;
}

// Names of the directories in `path`, sorted; none where it is gone.
std::vector<std::string> subdirectories(const fs::path& path) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    std::error_code gone;
    if (it->is_directory(gone)) {
      names.push_back(it->path().filename().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

// The name of a function's directory is NAME,SYMPOS.
RedirectedFunction parse_function(const std::string& entry) {
  RedirectedFunction function{.name = entry};
  std::size_t comma = entry.rfind(',');
  if (comma != std::string::npos) {
    function.name.resize(comma);
    std::from_chars(entry.data() + comma + 1, entry.data() + entry.size(), function.sympos);
  }
  return function;
}

PatchedObject read_object(const fs::path& directory) {
  PatchedObject object{.name = directory.filename().string()};
  // Kernels before 6.1 have no `patched`; vmlinux is always there.
  object.patched = read_number(directory / "patched").value_or(object.name == "vmlinux") != 0;
  for (const std::string& entry : subdirectories(directory)) {
    object.functions.push_back(parse_function(entry));
  }
  return object;
}

std::optional<LoadedPatch> read_patch(const fs::path& directory) {
  auto enabled = read_number(directory / "enabled");
  auto transition = read_number(directory / "transition");
  if (!enabled || !transition) {
    return std::nullopt;
  }
  LoadedPatch patch{.name = directory.filename().string(),
                    .enabled = *enabled != 0,
                    .transition = *transition != 0};
  for (const std::string& object : subdirectories(directory)) {
    patch.objects.push_back(read_object(directory / object));
  }
  std::ranges::stable_partition(patch.objects,
                                [](const PatchedObject& it) { return it.name == "vmlinux"; });
  return patch;
}

// "[<0>] do_something+0x12/0x40" → "do_something+0x12/0x40"
std::vector<std::string> read_stack(const fs::path& path) {
  std::vector<std::string> frames;
  auto text = read_text(path);
  std::string_view rest = text ? std::string_view(*text) : std::string_view{};
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::size_t bracket = line.find("] ");
    frames.emplace_back(bracket == std::string_view::npos ? line : line.substr(bracket + 2));
  }
  return frames;
}

std::string read_state(const fs::path& status) {
  auto text = read_text(status);
  if (!text) {
    return {};
  }
  std::size_t at = text->find("\nState:\t");
  if (at == std::string::npos) {
    return {};
  }
  at += 8;
  return text->substr(at, text->find('\n', at) - at);
}

bool is_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool has_livepatch(const Machine& machine) {
  std::error_code ec;
  return fs::is_directory(patch_directory(machine), ec);
}

Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine) {
  if (!has_livepatch(machine)) {
    return fail(
        Code::no_livepatch, patch_directory(machine).string(),
        "the running kernel has no livepatch core (CONFIG_LIVEPATCH), or sysfs is not mounted",
        "mount sysfs at /sys; without CONFIG_LIVEPATCH this kernel cannot take patches yet");
  }
  std::vector<LoadedPatch> patches;
  for (const std::string& name : subdirectories(patch_directory(machine))) {
    if (auto patch = read_patch(patch_directory(machine) / name)) {
      patches.push_back(std::move(*patch));
    }
  }
  return patches;
}

Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name) {
  if (!has_livepatch(machine)) {
    return std::unexpected(loaded_patches(machine).error());
  }
  if (name.empty() || name.find('/') != std::string::npos) {
    return std::nullopt;
  }
  return read_patch(patch_directory(machine) / name);
}

std::vector<BlockingTask> blocking_tasks(const Machine& machine, bool patched) {
  // -1: no transition, 0: unpatched, 1: patched.
  const long other = patched ? 0 : 1;
  std::vector<BlockingTask> tasks;
  for (const std::string& pid : subdirectories(machine.proc)) {
    if (!is_number(pid)) {
      continue;
    }
    for (const std::string& tid : subdirectories(machine.proc / pid / "task")) {
      const fs::path task = machine.proc / pid / "task" / tid;
      if (!is_number(tid) || read_number(task / "patch_state") != other) {
        continue;
      }
      tasks.push_back(BlockingTask{.pid = std::atoi(pid.c_str()),
                                   .tid = std::atoi(tid.c_str()),
                                   .comm = read_line(task / "comm").value_or("?"),
                                   .state = read_state(task / "status"),
                                   .stack = read_stack(task / "stack")});
    }
  }
  std::ranges::sort(tasks, {}, &BlockingTask::tid);
  return tasks;
}

std::string describe(const std::vector<BlockingTask>& tasks, std::size_t limit) {
  std::string out;
  for (std::size_t i = 0; i < std::min(limit, tasks.size()); ++i) {
    const BlockingTask& task = tasks[i];
    out += fmt::format("{}{} {}", i == 0 ? "" : ", ", task.tid, task.comm);
    if (!task.stack.empty()) {
      out += fmt::format(" in {}", task.stack.front().substr(0, task.stack.front().find('+')));
    }
  }
  if (tasks.size() > limit) {
    out += fmt::format(" and {} more", tasks.size() - limit);
  }
  return out;
}

Status set_enabled(const Machine& machine, const std::string& name, bool enabled) {
  const fs::path path = patch_directory(machine) / name / "enabled";
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, path.string(), "open");
  }
  ssize_t put = ::write(fd, enabled ? "1" : "0", 1);
  int err = errno;
  ::close(fd);
  if (put == 1) {
    return {};
  }
  if (err == EBUSY) {
    return fail(Code::busy, name,
                "another patch is in transition, or a later patch rests on this one",
                "wait until `suture status` shows no transition, then run the command again");
  }
  return fail_errno(err, path.string(), "write");
}

bool module_loaded(const Machine& machine, const std::string& name) {
  // A built-in module may have a directory too, but no reference count.
  return module_references(machine, name).has_value();
}

std::optional<long> module_references(const Machine& machine, const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return std::nullopt;
  }
  return read_number(machine.sys / "module" / name / "refcnt");
}

}  // namespace suture::live
