// SPDX-License-Identifier: GPL-2.0-or-later
//
// What of a patch's files only boot code brings to life.
#pragma once

#include <deque>
#include <set>
#include <vector>

#include "prove/meaning.h"
#include "prove/side.h"

namespace suture::prove {

// The code parts of post, or of pre, that run at boot or load alone though no section says so; by
// side.
std::vector<std::set<std::int32_t>> unmarked_boot_parts(const std::deque<Side>& sides, bool post);

// Accuses where post gives other entries than pre to a list that the kernel walks by its section.
void check_lists(Meaning& meaning, const std::deque<Side>& sides);

}  // namespace suture::prove
