// SPDX-License-Identifier: GPL-2.0-or-later
//
// Constant data that boot code has made known to the kernel.
#pragma once

#include <string>

#include "diff/diff.h"

namespace suture::diff {

// A function that has given somebody, before the diff or after, what the constant data points to;
// empty where the data points to no function or variable, or none gives them away.
std::string giver_of_contents(const Side& pre, std::int32_t before, const Side& post,
                              std::int32_t after);

}  // namespace suture::diff
