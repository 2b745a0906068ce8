// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <vector>

#include "base/error.h"
#include "diff/diff.h"

namespace suture::diff {

// special-section for each new variable whose section only means something in the kernel's image:
// boot code and the linker script do something with that part of it, and nothing with a module's.
std::vector<Error> data_that_needs_the_image(const PieceGraph& post, const std::vector<Fate>& fate);

}  // namespace suture::diff
