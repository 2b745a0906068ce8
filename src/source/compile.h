// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's own compile commands of a source, as its list of units has them.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/units.h"

namespace suture::source {

// One object, as a part of vmlinux or of one module.
struct CompileCommand {
  // As the command spells them: a file that belongs to a module of another directory is
  // "arch/x86/kvm/../../../virt/kvm/kvm_main.c", and __FILE__ shows it.
  std::string source;                 // "fs/proc/cmdline.c"
  std::string object;                 // "fs/proc/cmdline.o"
  std::vector<std::string> compiler;  // full argv as kbuild runs it, cwd is the tree's root; holds
                                      // "-c -o OBJECT SOURCE" and "-Wp,-MMD,..."
  std::vector<std::string> objtool;   // full argv without the object's path; empty where the
                                      // kernel runs none on this object
  bool is_module = false;             // -DMODULE
  std::string module_name;            // the module that it is a part of where is_module, else empty

  // The source's path from the tree's root, however the command spells it.
  std::string path() const;
};

// What a unit is compiled by: one command, or where it is a part of several modules one for each.
std::vector<CompileCommand> commands_of(const kernel::Units& units, const kernel::Unit& unit);

// Those of every unit that compiles the file at `path`; not-in-kernel where there is none.
Result<std::vector<CompileCommand>> commands_for(const kernel::Units& units,
                                                 const std::string& path);

}  // namespace suture::source
