// SPDX-License-Identifier: GPL-2.0-or-later
//
// The glue (kmod/patch_glue.c): what every patch module of one kernel has alike, compiled once with
// that kernel's own build system and kept in the kernel's derived directory, and the sizes and
// offsets of this kernel's structures that it states.
#pragma once

#include "diff/tables.h"
#include "elf/object.h"
#include "kernel/kernel.h"

namespace suture::module {

struct Glue {
  elf::ObjectFile object;
  diff::TableSizes constants;  // "klp_func" → size, "klp_func.new_func" → offset, "bug_entry", ...

  // 0 for what the glue does not state.
  std::uint64_t constant(std::string_view name) const {
    auto it = constants.find(name);
    return it == constants.end() ? 0 : it->second;
  }
};

// Compiles it the first time; later calls read it back.
Result<Glue> load_glue(const kernel::Kernel& kernel, const std::string& compiler);

}  // namespace suture::module
