// SPDX-License-Identifier: GPL-2.0-or-later
//
// What functions of one side do to variables, as far as boot code and what counts on it are
// concerned (boot_needs.cpp).
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "diff/diff.h"

namespace suture::diff {

// A variable may be named here that has a state of its own: writable, and kept after boot.
bool may_be_state(const PieceGraph& graph, const Reference& reference);

// What the instruction that holds the reference does to the variable; empty where it leaves it as
// it is. The same words for what does the same, whatever register the value comes from.
std::string effect_of(const PieceGraph& graph, const Piece& piece,
                      const std::vector<elf::Instruction>& code, const Reference& reference);

// What the code then does where the variable leads: through a pointer that it holds, or to each
// processor's copy of it.
std::string effect_behind(const PieceGraph& graph, const Piece& piece,
                          const std::vector<elf::Instruction>& code, const Reference& reference);

// The function that is given the address that `reference` takes, and what else the caller names
// between the call before and that one.
struct HandingOut {
  std::string to;
  std::set<std::string> beside;
};
HandingOut handing_out(const PieceGraph& graph, const Piece& piece, const Reference& reference);

}  // namespace suture::diff
