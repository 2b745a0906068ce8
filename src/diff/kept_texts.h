// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string_view>

#include "diff/diff.h"

namespace suture::diff {

// Refuses (special-section) a function that goes into the patch and keeps the address of a text, in
// a file that frees texts by where they lie: the patch's copy lies elsewhere than the image's.
// `outside` is asked about texts that are given to functions that the object only names. What the
// kernel exports is given texts of modules, too, and so keeps none that it would free by its place.
void judge_kept_texts(const Side& pre, const Side& post, Home home, const OutsideFate& outside,
                      const std::function<bool(std::string_view)>& exported, ObjectDiff& diff);

}  // namespace suture::diff
