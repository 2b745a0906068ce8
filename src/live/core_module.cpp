// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/core_module.h"

#include <fmt/format.h>

#include "kernel/module_image.h"
#include "live/load.h"
#include "machine/directory.h"

namespace suture::live {

namespace {

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

CoreState core_state(const machine::Machine& machine) {
  CoreState out;
  const auto directory =
      machine::Directory::open(machine::core_directory(machine, machine::suture_core));
  if (!directory) {
    return out;
  }
  out.loaded = true;
  out.abi = directory->number("abi");
  out.default_model = directory->line("default_model").value_or("");
  out.references =
      machine::module_references(machine, std::string(machine::suture_core.name)).value_or(0);
  out.patches = directory->directories();
  return out;
}

fs::path installed_core(const machine::Machine& machine, const std::string& release) {
  return machine.modules / release / "updates" / "suture.ko";
}

std::string how_to_install_core(const machine::Machine& machine, const std::string& release) {
  return fmt::format("mkdir -p {0} && suture core build -k {1} -o {0}",
                     installed_core(machine, release).parent_path().string(), release);
}

Status insert_core(const machine::Machine& machine, const fs::path& module) {
  if (machine::has_core(machine, machine::suture_core)) {
    return fail(Code::busy, std::string(machine::suture_core.name), "the core is loaded already",
                "to load another one, first run: suture core unload");
  }
  const kernel::ModuleImage image = TRY(kernel::ModuleImage::open(module));
  if (image.name() != machine::suture_core.name) {
    return fail(Code::bad_module, module.string(),
                fmt::format("it is the module '{}', not Suture's core", image.name()),
                "give the suture.ko that `suture core build` wrote");
  }
  return insert_module(machine, module);
}

Status remove_core(const machine::Machine& machine) {
  const CoreState state = core_state(machine);
  if (!state.loaded) {
    return fail(Code::no_core, std::string(machine::suture_core.name),
                "Suture's core is not loaded", "see `suture core status`");
  }
  Status removed = remove_module(std::string(machine::suture_core.name));
  if (removed || removed.error().code != Code::busy) {
    return removed;
  }
  return fail(Code::busy, std::string(machine::suture_core.name),
              state.patches.empty() ? fmt::format("{} modules use it", state.references)
                                    : fmt::format("patches rest on it: {}", joined(state.patches)),
              "take its patches back first: suture unload NAME");
}

}  // namespace suture::live
