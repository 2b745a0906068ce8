// SPDX-License-Identifier: GPL-2.0-or-later
//
// A unit as the proof sees it.
#pragma once

#include <map>
#include <set>
#include <string_view>

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

  // Of a symbol of post.
  std::string_view symbol_name(std::uint32_t symbol) const {
    return post.object.elf().symbols()[symbol].name;
  }
};

}  // namespace suture::prove
