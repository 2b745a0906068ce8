// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which units of a kernel a changed header really reaches.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/packages.h"
#include "kernel/units.h"
#include "patch/intake.h"
#include "source/compile.h"

namespace suture::patch {

// Reads which of the kernel's files include and name what, and keeps it for the builds of changed
// headers; does nothing where it is kept already.
Status index_headers(const kernel::Kernel& kernel, const kernel::Progress& progress);

struct Reached {
  std::vector<source::CompileCommand> commands;  // that may see a difference; all are compiled
  std::size_t users = 0;                         // units that may include one of the headers
  std::size_t candidates = 0;                    // of these, that name what changes in it
  std::string reason;  // why names do not tell who sees it; empty where they do
};

// header-changed where it reaches too many units, and not `all_units`; unsupported-file where
// assembly, the link script or a program of the build sees the change; not-in-kernel where no unit
// includes any of the headers.
Result<Reached> reached_units(const kernel::Kernel& kernel, const kernel::Units& units,
                              const Intake& intake, const WorkPlace& place, bool all_units,
                              const kernel::Progress& progress);

// Equal but for empty lines: what the preprocessor leaves where comments and directives were.
bool same_tokens(std::string_view a, std::string_view b);

}  // namespace suture::patch
