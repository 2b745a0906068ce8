// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a patch leaves out of boot code, and what goes in and would miss it.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string_view>

#include "diff/diff.h"

namespace suture::diff {

using Names = std::set<std::string_view>;

// One file of the patch, after compare().
struct BootFile {
  const Side& pre;
  const Side& post;
  Home home;
  const void* object;  // the same for the files of vmlinux, or of one module
  ObjectDiff& diff;
  // Which of these functions, which other files may call, only boot code calls, as the running
  // object shows. Asked of one file for all files of an object.
  std::function<Names(const Names& functions)> boot_alone_calls;
};

// Refuses (init-needed), in its file's diff, each function of the patch that uses a variable which
// boot code of post sets in another way than that of pre did, unless a callback of the patch sees
// to the variable. Tells which functions of vmlinux are replaced and run no more before the next
// boot. Elsewhere's numbers of files count in `files`.
void judge_boot_needs(std::span<BootFile> files);

}  // namespace suture::diff
