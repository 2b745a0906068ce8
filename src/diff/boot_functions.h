// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <set>

#include "diff/pieces.h"

namespace suture::diff {

// The functions that lie among those that stay, and run only while the kernel boots or the module
// loads: the author left out `__init`. Numbers of pieces. `boot_alone_calls` is asked about
// functions that other files may refer to, and that nothing in this file shows to run.
std::set<std::int32_t> unmarked_boot_functions(
    const PieceGraph& graph, const std::function<bool(std::int32_t)>& boot_alone_calls);

}  // namespace suture::diff
