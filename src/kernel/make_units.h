// SPDX-License-Identifier: GPL-2.0-or-later
//
// Asking kbuild what a kernel is made of, and having it make what it generates for that.
#pragma once

#include <string>

#include "base/error.h"
#include "base/file.h"
#include "kernel/packages.h"

namespace suture::kernel {

// A prepared tree and the kernel that it is prepared for.
struct PreparedTree {
  fs::path tree;
  fs::path config;
  std::string release;
  fs::path toolchain;  // root of the programs that compile it; empty: the machine's
};

// Where a tree's own list of compile units lies.
fs::path units_file(const fs::path& tree);
// Whether a list is one that this version reads.
bool is_current_list(const fs::path& list);

// Writes the tree's list into it, beside the C files and headers that kbuild generates while it
// compiles the kernel. Takes about 20 CPU seconds. prepare-failed with kbuild's own words.
Status make_units(const PreparedTree& about, const Progress& progress);

// The same for a kernel of the cache that an earlier version prepared, under the cache's lock.
Status ensure_units(const Kernel& kernel, const Progress& progress);

// Writes the list of a tree that is only read; false, and none, where a generated file is missing
// in it.
Result<bool> list_units(const PreparedTree& about, const fs::path& list);

}  // namespace suture::kernel
