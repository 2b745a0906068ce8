// SPDX-License-Identifier: GPL-2.0-or-later
//
// The commands as people see them, read from the tree that the command line is parsed with.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace suture::cli {

// The subcommands that --help shows, in its order.
std::vector<const CLI::App*> shown_commands(const CLI::App* app);

// "suture", separator, "kernel", separator, "add".
std::string full_name(const CLI::App* app, char separator);

// Whether the option is followed by a value.
bool takes_value(const CLI::Option* option);

}  // namespace suture::cli
