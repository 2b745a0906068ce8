// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a patch leaves out of boot code, and what goes in and would miss it.
#pragma once

#include "diff/diff.h"

namespace suture::diff {

// Refuses (init-needed) each function of the patch that uses a variable which boot code of post
// sets in another way than that of pre did, unless a callback of the patch sees to the variable.
// What concerns variables of other files is for who knows them: `out` names it.
void judge_boot_needs(const Side& pre, const Side& post, Home home, ObjectDiff& out);

Error boot_need(std::string_view function, std::string_view variable, std::string_view boot);

}  // namespace suture::diff
