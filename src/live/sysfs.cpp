// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: read a consistent picture of patches that may vanish while it is being read. Method:
// every file is read on its own and once; one that is gone (ENOENT, or ENODEV from an attribute
// whose object was removed) means that its patch or object is gone, which is no error. Invariant: a
// patch is only reported where its own `enabled` and `transition` could be read.
#include "live/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "elf/object.h"
#include "live/directory.h"

namespace suture::live {

namespace {

fs::path patch_directory(const Machine& machine) { return machine.sys / "kernel" / "livepatch"; }

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name != "." && name != "..";
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

PatchedObject read_object(const Directory& directory, const std::string& name) {
  PatchedObject object{.name = name};
  // Kernels before 6.1 have no `patched`; vmlinux is always there.
  object.patched = directory.number("patched").value_or(name == "vmlinux") != 0;
  for (const std::string& entry : directory.directories()) {
    object.functions.push_back(parse_function(entry));
  }
  return object;
}

std::optional<LoadedPatch> read_patch(const std::optional<Directory>& directory,
                                      const std::string& name) {
  auto enabled = directory ? directory->number("enabled") : std::nullopt;
  auto transition = directory ? directory->number("transition") : std::nullopt;
  if (!enabled || !transition) {
    return std::nullopt;
  }
  LoadedPatch patch{.name = name, .enabled = *enabled != 0, .transition = *transition != 0};
  for (const std::string& entry : directory->directories()) {
    if (auto object = directory->sub(entry)) {
      patch.objects.push_back(read_object(*object, entry));
    }
  }
  std::ranges::stable_partition(patch.objects,
                                [](const PatchedObject& it) { return it.name == "vmlinux"; });
  return patch;
}

// Writes one word to an attribute of the patch. EINVAL, by which the core says that there is
// nothing to do, is false.
Result<bool> write_attribute(const Machine& machine, const std::string& name, const char* attribute,
                             const char* word) {
  const fs::path path = patch_directory(machine) / name / attribute;
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    int err = errno;
    if (err == ENOENT) {
      return fail(Code::not_loaded, name, "no patch of that name is loaded (any more)",
                  "see what is: suture list");
    }
    return fail_errno(err, path.string(), "open");
  }
  ssize_t put = ::write(fd, word, 1);
  int err = errno;
  ::close(fd);
  if (put == 1 || err == EINVAL) {
    return put == 1;
  }
  if (err == EBUSY) {
    return fail(Code::busy, name,
                "another patch is in transition, or a later patch rests on this one",
                "wait until `suture status` shows no transition, then run the command again");
  }
  return fail_errno(err, path.string(), "write");
}

}  // namespace

bool has_livepatch(const Machine& machine) {
  std::error_code ec;
  return fs::is_directory(patch_directory(machine), ec);
}

Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine) {
  std::optional<Directory> all = Directory::open(patch_directory(machine));
  if (!all) {
    return fail(
        Code::no_livepatch, patch_directory(machine).string(),
        "the running kernel has no livepatch core (CONFIG_LIVEPATCH), or sysfs is not mounted",
        "mount sysfs at /sys; without CONFIG_LIVEPATCH this kernel cannot take patches yet");
  }
  std::vector<LoadedPatch> patches;
  for (const std::string& name : all->directories()) {
    if (auto patch = read_patch(all->sub(name), name)) {
      patches.push_back(std::move(*patch));
    }
  }
  return patches;
}

Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name) {
  if (!has_livepatch(machine)) {
    return std::unexpected(loaded_patches(machine).error());
  }
  if (!is_plain_name(name)) {
    return std::nullopt;
  }
  return read_patch(Directory::open(patch_directory(machine) / name), name);
}

Status set_enabled(const Machine& machine, const std::string& name, bool enabled) {
  TRY(write_attribute(machine, name, "enabled", enabled ? "1" : "0"));
  return {};
}

Status force_transition(const Machine& machine, const std::string& name) {
  if (!TRY(write_attribute(machine, name, "force", "1"))) {
    return fail(Code::no_transition, name, "its transition is over", "see `suture status`");
  }
  return {};
}

bool module_loaded(const Machine& machine, const std::string& name) {
  // A built-in module may have a directory too, but no reference count.
  return module_references(machine, name).has_value();
}

std::optional<long> module_references(const Machine& machine, const std::string& name) {
  std::optional<Directory> module =
      is_plain_name(name) ? Directory::open(machine.sys / "module" / name) : std::nullopt;
  return module ? module->number("refcnt") : std::nullopt;
}

std::vector<std::string> dropped_modules(const Machine& machine) {
  std::vector<std::string> dropped;
  std::optional<Directory> modules = Directory::open(machine.sys / "module");
  if (!modules) {
    return dropped;
  }
  for (const std::string& name : modules->directories()) {
    // Every patch module taints itself with K (Documentation/admin-guide/tainted-kernels.rst).
    const std::string taint = modules->line(name + "/taint").value_or("");
    std::error_code ec;
    if (taint.find('K') != std::string::npos && !fs::exists(patch_directory(machine) / name, ec)) {
      dropped.push_back(name);
    }
  }
  return dropped;
}

std::string running_release(const Machine& machine) {
  return first_line(machine.proc / "sys" / "kernel" / "osrelease");
}

std::string running_build_id(const Machine& machine, const std::string& object) {
  const auto notes = read_bytes(object == "vmlinux" ? machine.sys / "kernel" / "notes"
                                                    : machine.sys / "module" / object / "notes" /
                                                          ".note.gnu.build-id");
  return notes ? elf::build_id(*notes).value_or("") : std::string{};
}

}  // namespace suture::live
