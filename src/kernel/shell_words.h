// SPDX-License-Identifier: GPL-2.0-or-later
//
// A shell line cut into words, by the shell's rules for quotes and backslashes. Nothing is expanded
// and nothing run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace suture::kernel {

// The words of a command line of kbuild's (a .cmd file, make -n); what ends a command (; & | and a
// newline) is a word of its own. A line with an unfinished quote is child-failed.
Result<std::vector<std::string>> split_words(std::string_view line);

// The commands of a shell line, without the meaning of redirections and loops: enough to find one
// of them.
Result<std::vector<std::vector<std::string>>> split_commands(std::string_view line);

}  // namespace suture::kernel
