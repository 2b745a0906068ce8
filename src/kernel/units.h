// SPDX-License-Identifier: GPL-2.0-or-later
//
// The compile units of a kernel: every object that kbuild makes for it of a C or assembly file,
// with the whole command. kbuild said it when the kernel was added (unit_list.h), so an object that
// is not in the list is not in the kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/kernel.h"
#include "kernel/packages.h"

namespace suture::kernel {

struct Unit {
  // As the command spells them: a file that belongs to a module of another directory is
  // "arch/x86/kvm/../../../virt/kvm/kvm_main.c", and __FILE__ shows it.
  std::string source;                // "fs/compat_binfmt_elf.c"
  std::string object;                // "fs/compat_binfmt_elf.o"
  std::string path;                  // the source's from the tree's root: "virt/kvm/kvm_main.c"
  bool is_module = false;            // -DMODULE
  std::vector<std::string> modules;  // whose part it is ("i915"); where !is_module, none: vmlinux

  // Where its words lie; Units knows.
  std::uint32_t compiler = 0;
  std::uint32_t objtool = 0;
  std::string module_name;  // KBUILD_MODNAME
  std::string module_file;  // KBUILD_MODFILE
};

class Units {
 public:
  // Reads the kernel's list; makes it first, with what kbuild generates, where an earlier version
  // prepared the tree. prepare-failed where kbuild does not say it.
  static Result<Units> open(const Kernel& kernel, const Progress& progress);
  // Of the text of a list (unit_list.h); bad-package where it is damaged or of another format.
  static Result<Units> parse(std::string text, const std::string& where);

  // All, sorted by object.
  const std::vector<Unit>& all() const { return units_; }
  // All that compile the file at this path from the tree's root (Unit::path).
  std::vector<const Unit*> of_source(std::string_view path) const;
  // By its path from the tree's root, however the command spells it; null where there is none.
  const Unit* of_object(std::string_view object) const;

  // Whether another file may include this one, which is no header (.h): true too often perhaps, but
  // never false where one does.
  bool may_be_included(std::string_view path) const;
  // What kbuild makes of a file by a recipe that compiles nothing: "drivers/tty/vt/defkeymap.c", or
  // empty where no recipe names the file.
  std::string_view made_of(std::string_view path) const;

  // kbuild's whole argv, to be run in the tree's root; holds "-c -o OBJECT SOURCE" and
  // "-Wp,-MMD,...": search paths, -include, -D and all.
  std::vector<std::string> compiler(const Unit& unit) const;
  // The full argv without the object's path; empty where the kernel runs none on this object.
  std::vector<std::string> objtool(const Unit& unit) const;

 private:
  std::vector<std::string> lists_;  // words with slots, between tabs
  std::vector<Unit> units_;
  std::vector<std::uint32_t> by_path_;  // units_, sorted by path
  std::vector<std::pair<std::string, std::uint32_t>>
      indirect_;                                           // objects spelled with "..": sorted
  std::vector<std::string> included_;                      // sorted
  std::vector<std::pair<std::string, std::string>> made_;  // sorted: an input, what is made of it
};

}  // namespace suture::kernel
