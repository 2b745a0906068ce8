// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the diffs say: the files that they change, and what the module will tell about them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "patch/build.h"
#include "patch/compile_units.h"
#include "source/patch.h"

namespace suture::patch {

struct Intake {
  std::vector<source::ChangedFile> files;
  Touched touched;
  module::Metadata metadata;  // name, version, release, description, diffs, vulnerabilities
  std::vector<std::string> notes;
};

// Whether the text is the name of a vulnerability: CVE, a year, four digits or more.
bool is_cve(std::string_view text);

// Reads and applies the diffs, in memory. does-not-apply, bad-diff, unsafe-path, unsupported-file,
// not-in-kernel; no-change where they touch no code; usage for a name that no module can have, or
// for a CVE that is none.
Result<Intake> take_in(const Request& request, const kernel::Units& units);

}  // namespace suture::patch
