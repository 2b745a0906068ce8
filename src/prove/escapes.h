// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses of what the module adds that get into memory which outlives it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "prove/linkage.h"

namespace suture::prove {

struct Escape {
  std::string source;  // of `by`
  std::string what;    // the function or variable
  std::string by;      // the function of the patch that lets its address out
};

// One of them, if there is any; `placed` says what of post lies in the module.
std::optional<Escape> find_escape(const std::deque<Side>& sides, const Linkage& linkage,
                                  const std::map<Place, std::uint64_t>& placed);

}  // namespace suture::prove
