// SPDX-License-Identifier: GPL-2.0-or-later
//
// Livepatch modules that Suture did not make: what they redirect, as far as their data tells.
#pragma once

#include <string>
#include <vector>

#include "elf/object.h"

namespace suture::module {

struct ForeignFunction {
  std::string object;  // "vmlinux" or a module
  std::string name;
  std::uint32_t sympos = 0;
};

// Two layouts are known: arrays of struct klp_func with the klp_object that points at them
// (include/linux/livepatch.h: old_name, new_func, old_sympos; name, funcs), as the kernel's samples
// and selftests have them, and kpatch's `.kpatch.funcs` (kmod/patch/kpatch-patch.h in kpatch:
// new_addr, new_size, old_addr, old_size, sympos, name, objname).
std::vector<ForeignFunction> foreign_functions(const elf::ObjectFile& object);

}  // namespace suture::module
