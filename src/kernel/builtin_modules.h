// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which directories of /sys/module belong to the kernel itself: no module of such a name is loaded.
// Source of the formats: include/linux/moduleparam.h, include/linux/module.h; kernel/params.c
// makes the directories.
#pragma once

#include <set>
#include <string_view>

#include "kernel/image.h"

namespace suture::kernel {

// The names are the image's bytes. Of tables in another form than x86-64 has since 5.11, none.
std::set<std::string_view> builtin_modules(const Image& image);

}  // namespace suture::kernel
