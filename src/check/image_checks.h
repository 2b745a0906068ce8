// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be told of a patch module and a kernel that is not running, from the kernel's files.
#pragma once

#include "check/checks.h"
#include "kernel/kernel.h"

namespace suture::check {

// "form", "release", "kernel-build-id", "module-build-id NAME", "symbols". bad-module, bad-image.
Result<CheckedModule> check_for_kernel(const kernel::Kernel& kernel, const fs::path& module);

}  // namespace suture::check
