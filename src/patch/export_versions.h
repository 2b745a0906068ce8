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

// export-changed, one for each prototype that post changes, and one for each type that exports
// reach and post changes; run-pre-mismatch where the unpatched source does not give the kernel's
// CRC.
Result<std::vector<Error>> changed_exports(const kernel::Kernel& kernel, const Unit& unit,
                                           const std::vector<std::string_view>& exports,
                                           const kernel::Symvers& symvers, const WorkPlace& place);

}  // namespace suture::patch
