// SPDX-License-Identifier: GPL-2.0-or-later
//
// Suture's own core (kmod/core), and the glue of patches for it, as they are for one kernel:
// compiled once with that kernel's own build system and kept in its derived directory.
#pragma once

#include "kernel/symvers.h"
#include "module/glue.h"

namespace suture::module {

struct CoreBuild {
  fs::path module;          // suture.ko
  kernel::Symvers symvers;  // of what it exports
  Glue glue;                // core_patch_glue.o
};

// Builds it the first time; later calls read it back. prepare-failed where it does not compile.
Result<CoreBuild> load_core(const kernel::Kernel& kernel);

}  // namespace suture::module
