// SPDX-License-Identifier: GPL-2.0-or-later
//
// Suture's own core for a kernel, as a file.
#pragma once

#include "base/error.h"
#include "base/file.h"
#include "kernel/kernel.h"

namespace suture::cli {

// suture.ko for that kernel, built with its compiler and kept in the cache. prepare-failed,
// compiler-mismatch, bad-config.
Result<fs::path> core_file(const kernel::Kernel& kernel);

}  // namespace suture::cli
