// SPDX-License-Identifier: GPL-2.0-or-later
//
// The files of a source tree that an architecture's kernel may be made of.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace suture::source {

// Paths from the tree's root, in no order, without other architectures, tools and documentation.
std::vector<fs::path> files_for_arch(const fs::path& tree, const std::string& arch);

}  // namespace suture::source
