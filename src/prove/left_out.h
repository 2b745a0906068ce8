// SPDX-License-Identifier: GPL-2.0-or-later
//
// Does what goes into the module count on boot code that the patch leaves out?
#pragma once

#include <deque>

#include "prove/meaning.h"

namespace suture::prove {

// Accuses every part in the module that reads a variable which boot code of post writes in a way
// that boot code of pre did not, unless a callback of the patch names the variable.
void check_left_out(Meaning& meaning, const std::deque<Side>& sides);

}  // namespace suture::prove
