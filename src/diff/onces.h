// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is done once (include/linux/once.h): two static locals that a macro makes, and the variable
// that is filled.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "diff/diff.h"

namespace suture::diff {

// A once that fills a variable.
struct Once {
  std::int32_t done = -1;     // its flag
  std::int32_t filled = -1;   // the piece of its variable, or -1:
  std::string_view name;      // another file's, by name
  std::int64_t place = 0;     // from its start
  std::string_view function;  // that fills it
  bool only_fills = false;    // that function does nothing else
};

// By the piece of the static key. Those are left out whose variable cannot be told.
std::map<std::int32_t, Once> onces_of(const PieceGraph& graph);

// Notes what is filled once with more or fewer bytes than before.
void note_lengths_of_onces(const PieceGraph& pre, const PieceGraph& post, ObjectDiff& out);

// By its base name.
bool is_key_of_a_once(std::string_view base);

}  // namespace suture::diff
