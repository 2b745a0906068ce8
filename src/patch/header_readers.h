// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who reads a header though it compiles nothing of the running kernel: scripts and programs that
// the kernel's build makes other files with.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/units.h"

namespace suture::patch {

// The makefile that hands the header on, or the program that includes it; nothing where the
// makefiles name none. A makefile that lists objects of which `units` has none is not configured
// in, and counts for nothing. What a script finds by a path that it makes itself is not seen.
// `kept`: what the makefiles say, once read of the tree.
Result<std::optional<std::string>> reader_outside(const fs::path& tree, const kernel::Units& units,
                                                  const std::string& header, const fs::path& kept);

// The part of it that reads one makefile: the headers that it hands to its programs, as paths from
// the tree's root or as far as it says them, and the sources of its programs.
struct MakefileNames {
  std::vector<std::string> headers, programs;
  bool lists_objects = false;  // for the kernel, under whatever condition
};
MakefileNames names_in_makefile(std::string_view text, const std::string& directory);

}  // namespace suture::patch
