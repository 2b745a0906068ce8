// SPDX-License-Identifier: GPL-2.0-or-later
//
// From changed files to compiled objects: which compile units a diff touches, and their pre and
// post objects.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/kernel.h"
#include "source/compile.h"
#include "source/patch.h"

namespace suture::build {

// A .c file that kbuild compiles, because it changed or because it #includes one that did.
struct Unit {
  source::CompileCommand command;
  fs::path pre;  // object files, after objtool
  fs::path post;
  bool pre_cached = false;
  bool types = false;  // the diff may change types: both objects state theirs in .BTF
};

struct Touched {
  std::vector<std::string> sources;  // compile units, sorted
  std::vector<std::string> ignored;  // changed files that are no kernel code (documentation, ...)
};

// header-changed, unsupported-file for what this version cannot build.
Result<Touched> touched_units(const std::vector<source::ChangedFile>& files, const fs::path& tree);

// Which of those units may see other types than before.
std::set<std::string> units_with_new_types(const std::vector<source::ChangedFile>& files,
                                           const Touched& touched);

// Writes the patched files into `overlay`, a directory of this build's own: the tree stays as it
// is.
Status write_overlay(const std::vector<source::ChangedFile>& files, const Touched& touched,
                     const fs::path& tree, const fs::path& overlay);

// Compiles pre (unless it is kept from an earlier build) and post of every unit, as many at a time
// as there are processors. does-not-compile has the compiler's own words.
Result<std::vector<Unit>> compile_units(const kernel::Kernel& kernel,
                                        std::vector<source::CompileCommand> commands,
                                        const std::set<std::string>& with_new_types,
                                        const fs::path& overlay);

}  // namespace suture::build
