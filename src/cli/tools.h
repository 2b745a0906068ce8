// SPDX-License-Identifier: GPL-2.0-or-later
//
// The programs of others that Suture needs, and which of them are installed.
#pragma once

#include <string>
#include <vector>

namespace suture::cli {

enum class Purpose { build, test, machine };

struct Tool {
  Purpose purpose = Purpose::build;
  std::string name;
  std::string package;  // Debian's, that has it
  std::string version;  // the first line of what it says of itself; empty: not installed
};

// In the order of the purposes.
std::vector<Tool> find_tools();

// "build"
std::string purpose_name(Purpose purpose);

// A line for each tool, and below each purpose how to install what is missing.
std::string tools_text(const std::vector<Tool>& tools);

}  // namespace suture::cli
