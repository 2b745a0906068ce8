// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which units of a kernel a changed header really reaches.
#pragma once

#include <vector>

#include "build/intake.h"
#include "build/kernel_side.h"
#include "kernel/packages.h"

namespace suture::build {

struct Reached {
  std::vector<source::CompileCommand> commands;  // whose preprocessed text changed
  std::size_t candidates = 0;                    // that may include one of the headers
  std::size_t same = 0;                          // whose text did not change
  std::size_t absent = 0;                        // that this kernel does not have
};

// header-changed where too many files may see the change; unsupported-file where assembly does.
Result<Reached> reached_units(const kernel::Kernel& kernel, const kernel::Units& units,
                              const Intake& intake, const WorkPlace& place,
                              const kernel::Progress& progress);

}  // namespace suture::build
