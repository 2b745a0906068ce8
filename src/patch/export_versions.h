// SPDX-License-Identifier: GPL-2.0-or-later
//
// Exports: a module that was built for the kernel calls them as the kernel's headers declared them.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/symvers.h"
#include "patch/compile_units.h"

namespace suture::patch {

// An export that is there before and after the diff, and the unit that has it before: another one
// of the same object where it moves.
struct KeptExport {
  std::string_view name;
  const Unit* before = nullptr;
};

// export-changed, one for each prototype that post changes, and one for each type that exports
// reach and post changes; run-pre-mismatch where the unpatched source does not give the kernel's
// CRC.
Result<std::vector<Error>> changed_exports(const kernel::Kernel& kernel, const Unit& unit,
                                           const std::vector<KeptExport>& exports,
                                           const kernel::Symvers& symvers, const WorkPlace& place);

}  // namespace suture::patch
