// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the diffs say: the files that they change, and what the module will tell about them.
#pragma once

#include <string>
#include <vector>

#include "build/build.h"
#include "build/compile_units.h"
#include "source/patch.h"

namespace suture::build {

struct Intake {
  std::vector<source::ChangedFile> files;
  Touched touched;
  module::Metadata metadata;  // name, version, release, description, diffs, vulnerabilities
};

// Reads and applies the diffs, in memory. does-not-apply, bad-diff, unsafe-path, unsupported-file,
// not-in-kernel;
// no-change where they touch no code; usage for a name that no module can have.
Result<Intake> take_in(const Request& request, const kernel::Units& units);

}  // namespace suture::build
