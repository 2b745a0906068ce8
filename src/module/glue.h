// SPDX-License-Identifier: GPL-2.0-or-later
//
// The glue (kmod/patch_glue.c, for Suture's own core kmod/core_patch_glue.c): what every patch
// module of one kernel has alike, compiled once with that kernel's own build system and kept in the
// kernel's derived directory, and the sizes and offsets of structures that it states.
#pragma once

#include <string>
#include <string_view>

#include "diff/tables.h"
#include "elf/object.h"
#include "kernel/kernel.h"
#include "module/kmod_sources.h"

namespace suture::module {

struct Glue {
  elf::ObjectFile object;
  diff::TableSizes constants;  // "klp_func" → size, "klp_func.new_func" → offset, "bug_entry", ...

  // How to unwind out of an entry thunk, before and after it has dropped the return address: two
  // rows of one size for .orc_unwind; empty where the kernel unwinds in another way.
  Bytes thunk_rows;

  // 0 for what the glue does not state.
  std::uint64_t constant(std::string_view name) const {
    auto it = constants.find(name);
    return it == constants.end() ? 0 : it->second;
  }
};

// The one for the kernel's livepatch core. Compiles it the first time; later calls read it back.
Result<Glue> load_glue(const kernel::Kernel& kernel);

// Reads compiled glue.
Result<Glue> read_glue(const fs::path& object);

// One function or variable a section: the writer takes whole pieces.
inline constexpr std::string_view glue_flags =
    "ccflags-y := -g0 -ffunction-sections -fdata-sections\n";

// Lays `sources` out below `directory`, by their paths.
Status write_kmod(const std::vector<KmodSource>& sources, const fs::path& directory);
// What tells apart what one version of Suture compiles and what another does.
std::string kmod_digest(const std::vector<KmodSource>& sources);

// Runs kbuild on the external module that `directory` is, making `target`.
Status run_kbuild(const kernel::Kernel& kernel, const fs::path& directory,
                  const std::string& target);

}  // namespace suture::module
