// SPDX-License-Identifier: GPL-2.0-or-later
//
// Functions that tasks stay in: no transition to a patch of one could end.
#pragma once

#include "diff/diff.h"

namespace suture::diff {

// Judges the functions that `out` replaces: refuses those that a task never leaves, and notes those
// that it may stay in for long.
void judge_threads(const Side& pre, const Side& post, ObjectDiff& out);

}  // namespace suture::diff
