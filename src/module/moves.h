// SPDX-License-Identifier: GPL-2.0-or-later
//
// Moves: what a diff takes from one file of an object and gives to another. What runs stays one
// thing: a function is redirected to its new definition, a variable stays where it is.
#pragma once

#include <string>
#include <vector>

#include "diff/diff.h"
#include "kernel/symvers.h"
#include "match/run_object.h"

namespace suture::module {

// A compiled file, before and after; its number in the list is what diff::Origin names it by.
struct File {
  std::string source;
  const match::RunObject* run = nullptr;  // the object that runs it
  const diff::Side* pre = nullptr;
  const diff::Side* post = nullptr;
};

struct Moves {
  std::vector<diff::Elsewhere> of;  // by file
  // symbol-moved, symbol-ambiguous, data-changed: what cannot be brought about or decided.
  std::vector<Error> refusals;
};

// `symvers` are the kernel's.
Moves find_moves(const std::vector<File>& files, const kernel::Symvers& symvers);

}  // namespace suture::module
