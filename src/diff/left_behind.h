// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string_view>

#include "diff/diff.h"

namespace suture::diff {

// What a file of the patch newly gives the others: writable variables, and functions that use such
// ones of their own file. By name, with the variable's name and size.
struct NewGlobal {
  std::string_view variable;
  std::uint64_t size = 0;
};
using NewGlobals = std::map<std::string_view, NewGlobal>;
NewGlobals new_globals(const PieceGraph& post, const ObjectDiff& diff);

// Refuses (data-changed) a variable that takes another's place in code that goes in: what the
// running one holds would be lost. A callback of the patch that names the new one sees to it; then
// it is a note.
// `globals`: the new ones of all the object's files.
void judge_lost_state(const Side& pre, const Side& post, const NewGlobals& globals,
                      ObjectDiff& out);

// Notes what a patch cannot change although no code differs: exports, and what modules say of
// themselves.
void note_what_stays_beside_code(const Side& pre, const Side& post, ObjectDiff& out);

// The names that the object exports to modules.
std::set<std::string_view> exports_of(const elf::ObjectFile& object);

}  // namespace suture::diff
