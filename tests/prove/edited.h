// SPDX-License-Identifier: GPL-2.0-or-later
//
// Edits of the stock kernel's own files, and modules that are built of them.
#pragma once

#include <optional>
#include <string>

#include "patch/build.h"

namespace suture::test {

// A statement at the start of a function, or a text in place of another.
struct Edit {
  const char* name;
  const char* file;
  const char* function;  // whose body gets the statement; null: `from` becomes `to`
  const char* from;
  const char* to;
  bool for_core = false;  // it is also tried for Suture's core
};

// The file's text with the edit made; nothing where it has no such place.
std::optional<std::string> edited(std::string text, const Edit& edit);

// The module of that edit, built in `where`, with its objects in `where`/objects; what keeps it
// from being built is a failure of the test.
std::optional<fs::path> build_module(const kernel::Kernel& kernel, const Edit& edit,
                                     module::Core core, const fs::path& where);

}  // namespace suture::test
