// SPDX-License-Identifier: GPL-2.0-or-later
//
// A unit as the proof sees it.
#pragma once

#include <map>
#include <set>

#include "prove/author.h"
#include "prove/changes.h"
#include "prove/prove.h"

namespace suture::prove {

struct Side {
  const Unit* unit = nullptr;  // null for the glue, all of which is new
  Read pre, post;
  Pairing pairing;
  Changes changes;
  AuthorsWord word;
  std::set<std::int32_t> redirected;                   // post parts
  std::map<std::uint64_t, std::int32_t> functions_at;  // run address → pre part
};

}  // namespace suture::prove
