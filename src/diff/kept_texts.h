// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "diff/diff.h"

namespace suture::diff {

// Refuses (special-section) a function that goes into the patch and keeps the address of a text, in
// a file that frees texts by where they lie: the patch's copy lies elsewhere than the image's.
// `outside` is asked about texts that are given to functions that the object only names.
void judge_kept_texts(const Side& pre, const Side& post, Home home, const OutsideFate& outside,
                      ObjectDiff& diff);

}  // namespace suture::diff
