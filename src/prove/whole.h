// SPDX-License-Identifier: GPL-2.0-or-later
//
// The proof of wholeness: is what the patch consists of all that the diff changes in this kernel?
#pragma once

#include <deque>

#include "prove/side.h"

namespace suture::prove {

// Accuses the patch of `sides` of what it lacks. What could not be counted goes into the proof's
// `unseen`.
void check_whole(const Scope& scope, const std::deque<Side>& sides, Running& running, Proof& proof);

}  // namespace suture::prove
