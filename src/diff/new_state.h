// SPDX-License-Identifier: GPL-2.0-or-later
//
// Variables that the patch brings along, and that are empty when it comes.
#pragma once

#include "diff/boot_graph.h"

namespace suture::diff {

// Tells, in the notes of its file, of each new variable that starts as zero, that some functions
// set and others read: what the first did before the patch came, they did without it. `after` are
// the files after the diff.
void tell_new_state(const BootGraph& after, std::span<BootFile> files);

}  // namespace suture::diff
