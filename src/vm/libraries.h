// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which shared libraries a program needs, found as the dynamic linker would find them (ld.so(8))
// but without running the program.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::vm {

struct NeededFiles {
  std::string interpreter;                    // the program's PT_INTERP; empty for a static one
  std::map<std::string, fs::path> libraries;  // what is asked for ("libc.so.6") → the file
};

// missing-tool names the library that is not there; bad-elf where the program is no ELF file.
Result<NeededFiles> needed_files(const fs::path& program);

// As above with the directories given, in order, in place of the system's.
Result<NeededFiles> needed_files(const fs::path& program, const std::vector<fs::path>& directories);

// Where the dynamic linker looks by default: the directories of /etc/ld.so.conf, then /lib and
// /usr/lib in their forms.
std::vector<fs::path> library_directories();

}  // namespace suture::vm
