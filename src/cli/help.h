// SPDX-License-Identifier: GPL-2.0-or-later
//
// What --help prints.
#pragma once

#include "cli/command_tree.h"

namespace suture::cli {

// "suture load [OPTIONS] MODULE..."
std::string usage_line(const CommandInfo& command);
// "[NAME...]"
std::string argument_text(const OptionInfo& argument);
// Lines of at most `width` characters.
std::string help_text(const CommandInfo& command, std::size_t width);

}  // namespace suture::cli
