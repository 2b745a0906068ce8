// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>

#include "diff/pieces.h"

namespace suture::diff {

// The functions that lie among those that stay, and run only while the kernel boots or the module
// loads: the author left out `__init`. Numbers of pieces.
std::set<std::int32_t> unmarked_boot_functions(const PieceGraph& graph);

}  // namespace suture::diff
