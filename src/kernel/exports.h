// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a kernel image exports to modules, read from the image itself: __ksymtab*, __kcrctab* and
// __kflagstab (include/linux/export-internal.h).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/image.h"
#include "kernel/symvers.h"

namespace suture::kernel {

struct ImageExport {
  std::string_view name;      // in the image's bytes
  std::uint64_t address = 0;  // link-time
  std::uint32_t crc = 0;      // 0 where the kernel has no CONFIG_MODVERSIONS
  bool gpl_only = false;
  std::string_view name_space;
};

// Sorted by name.
Result<std::vector<ImageExport>> read_exports(const Image& image);

// wrong-kernel, naming the first symbol by name that differs, where `symvers` is of another kernel:
// its vmlinux exports and CRCs must be exactly the image's.
Status symvers_match(const Symvers& symvers, const Image& image);

}  // namespace suture::kernel
