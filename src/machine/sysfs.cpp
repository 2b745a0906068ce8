// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: read a consistent picture of patches that may vanish while it is being read. Method:
// every file is read on its own and once; one that is gone (ENOENT, or ENODEV from an attribute
// whose object was removed) means that its patch or object is gone, which is no error. Invariant: a
// patch is only reported where its own `enabled` and `transition` could be read.
#include "machine/sysfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "elf/object.h"
#include "machine/directory.h"
#include "machine/loaded_metadata.h"

namespace suture::machine {

namespace {

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

// What only the files of Suture's core tell.
void read_measures(const Directory& directory, LoadedPatch& patch) {
  patch.model = directory.line("model").value_or("");
  patch.pause_ns = directory.number("pause_ns");
  patch.transition_ns = directory.number("transition_ns");
  if (auto settled = directory.number("settled")) {
    patch.settled = *settled != 0;
  }
}

std::optional<LoadedPatch> read_patch(const Core& core, const std::optional<Directory>& directory,
                                      const std::string& name) {
  auto enabled = directory ? directory->number("enabled") : std::nullopt;
  auto transition = directory ? directory->number("transition") : std::nullopt;
  if (!enabled || !transition) {
    return std::nullopt;
  }
  LoadedPatch patch{.name = name,
                    .core = &core,
                    .enabled = *enabled != 0,
                    .transition = *transition != 0,
                    .model = std::string(core.model)};
  if (core.model.empty()) {
    read_measures(*directory, patch);
  }
  for (const std::string& entry : directory->directories()) {
    if (auto object = directory->sub(entry)) {
      patch.objects.push_back(read_object(*object, entry));
    }
  }
  std::ranges::stable_partition(patch.objects,
                                [](const PatchedObject& it) { return it.name == "vmlinux"; });
  return patch;
}

std::unexpected<Error> no_core_at_all(const Machine& machine) {
  return fail(Code::no_livepatch, (machine.sys / "kernel").string(),
              "the running kernel has no livepatch core (CONFIG_LIVEPATCH) and Suture's own is not "
              "loaded, or sysfs is not mounted",
              "mount sysfs at /sys; without CONFIG_LIVEPATCH run: suture core load");
}

bool any_core(const Machine& machine) {
  return std::ranges::any_of(all_cores, [&](const Core* core) { return has_core(machine, *core); });
}

// The directory of the patch, whichever core has it.
fs::path patch_directory(const Machine& machine, const std::string& name) {
  std::error_code ec;
  const fs::path ours = core_directory(machine, suture_core) / name;
  return fs::is_directory(ours, ec) ? ours : core_directory(machine, livepatch_core) / name;
}

// Writes one word to an attribute of the patch. EINVAL, by which the cores say that there is
// nothing to do, is false.
Result<bool> write_attribute(const Machine& machine, const std::string& name, const char* attribute,
                             std::string_view word) {
  TRY(check_patch_name(name));
  const fs::path path = patch_directory(machine, name) / attribute;
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    int err = errno;
    if (err == ENOENT) {
      return fail(Code::not_loaded, name, "no patch of that name is loaded (any more)",
                  "see what is: suture list");
    }
    return fail_errno(err, path.string(), "open");
  }
  const ssize_t put = ::write(fd, word.data(), word.size());
  int err = errno;
  ::close(fd);
  if (put == static_cast<ssize_t>(word.size()) || err == EINVAL) {
    return put > 0;
  }
  if (err == EBUSY) {
    return fail(Code::busy, name,
                "another patch is in transition, or a later patch rests on this one",
                "wait until `suture status` shows no transition, then run the command again");
  }
  return fail_errno(err, path.string(), "write");
}

std::unexpected<Error> no_transition(const std::string& name) {
  return fail(Code::no_transition, name, "its transition is over", "see `suture status`");
}

}  // namespace

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name != "." && name != "..";
}

Status check_patch_name(const std::string& name) {
  if (is_plain_name(name)) {
    return {};
  }
  return fail(Code::usage, name, "this can be no patch's name",
              "give a name as `suture list` shows it");
}

fs::path core_directory(const Machine& machine, const Core& core) {
  return machine.sys / "kernel" / core.name;
}

bool has_core(const Machine& machine, const Core& core) {
  std::error_code ec;
  return fs::is_directory(core_directory(machine, core), ec);
}

Result<std::vector<LoadedPatch>> loaded_patches(const Machine& machine) {
  std::vector<LoadedPatch> patches;
  bool any = false;
  for (const Core* core : all_cores) {
    const std::optional<Directory> all = Directory::open(core_directory(machine, *core));
    any = any || all;
    for (const std::string& name : all ? all->directories() : std::vector<std::string>{}) {
      if (auto patch = read_patch(*core, all->sub(name), name)) {
        patches.push_back(std::move(*patch));
      }
    }
  }
  if (!any) {
    return no_core_at_all(machine);
  }
  std::ranges::sort(patches, {}, &LoadedPatch::name);
  return patches;
}

Result<std::optional<LoadedPatch>> find_patch(const Machine& machine, const std::string& name) {
  if (!any_core(machine)) {
    return no_core_at_all(machine);
  }
  if (!is_plain_name(name)) {
    return std::nullopt;
  }
  for (const Core* core : all_cores) {
    const auto directory = Directory::open(core_directory(machine, *core) / name);
    if (auto patch = read_patch(*core, directory, name)) {
      return patch;
    }
  }
  return std::nullopt;
}

Status set_enabled(const Machine& machine, const std::string& name, bool enabled) {
  TRY(write_attribute(machine, name, "enabled", enabled ? "1" : "0"));
  return {};
}

Status set_model(const Machine& machine, const std::string& name, const std::string& model) {
  const std::optional<LoadedPatch> patch = TRY(find_patch(machine, name));
  if (patch && !patch->core->model.empty()) {
    return fail(Code::usage, name,
                fmt::format("it is a patch of the core {}, whose only model is {}",
                            patch->core->name, patch->core->model),
                "leave --model out");
  }
  if (!TRY(write_attribute(machine, name, "model", model))) {
    return fail(Code::usage, model, "its core knows no model of that name",
                "give stop, lazy or hybrid");
  }
  return {};
}

Status signal_blocking(const Machine& machine, const std::string& name) {
  return TRY(write_attribute(machine, name, "signal", "1")) ? Status{} : no_transition(name);
}

Status force_transition(const Machine& machine, const std::string& name) {
  return TRY(write_attribute(machine, name, "force", "1")) ? Status{} : no_transition(name);
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

namespace {

// The module is a patch, and no core has it. Few modules' notes are read: those of Suture come from
// outside of the kernel's tree (O), and livepatch marks its patches with K
// (Documentation/admin-guide/tainted-kernels.rst).
bool is_dropped(const Machine& machine, const Directory& modules, const std::string& name) {
  const std::string taint = modules.line(name + "/taint").value_or("");
  const bool marked = taint.find('K') != std::string::npos;
  std::error_code ec;
  if ((!marked && taint.find('O') == std::string::npos) ||
      fs::exists(patch_directory(machine, name), ec)) {
    return false;
  }
  return marked || loaded_metadata(machine, name);
}

}  // namespace

std::vector<std::string> dropped_modules(const Machine& machine) {
  std::vector<std::string> dropped;
  std::optional<Directory> modules = Directory::open(machine.sys / "module");
  if (!modules) {
    return dropped;
  }
  for (const std::string& name : modules->directories()) {
    if (is_dropped(machine, *modules, name)) {
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

}  // namespace suture::machine
