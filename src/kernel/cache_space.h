// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the cache takes on the disk, and how to have it back.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "kernel/packages.h"

namespace suture::kernel {

// Bytes on the disk of all that is below. What goes meanwhile does not count.
std::uintmax_t disk_use(const fs::path& directory);

struct CacheUse {
  std::uintmax_t kernels = 0;     // what `kernel add` made
  std::uintmax_t derived = 0;     // what builds made for these, and make again
  std::uintmax_t toolchains = 0;  // what compiles those whose compiler the machine lacks
  std::uintmax_t downloads = 0;   // packages, and indexes of the archive
};
CacheUse cache_use();

// Takes a kernel out of the cache, also a damaged one, with what builds made for it, and its
// toolchain where no other kernel is compiled by that; its packages stay. The bytes that are free
// now. not-cached; busy while a build for it is under way.
Result<std::uintmax_t> remove_kernel(const std::string& release, const Progress& progress);

// Removes what can be made or fetched again: packages, indexes of the archive, toolchains that no
// kernel of the cache is compiled by, and what builds made, but for kernels that a build is under
// way for. The bytes that are free now.
Result<std::uintmax_t> clean_cache(const Progress& progress);

}  // namespace suture::kernel
