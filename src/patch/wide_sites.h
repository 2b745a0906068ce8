// SPDX-License-Identifier: GPL-2.0-or-later
//
// Static branches with room for a jump of any distance.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/kernel.h"

namespace suture::patch {

// The compiler options that give every static branch a site of 5 bytes; none where the kernel's own
// header does.
Result<std::vector<std::string>> wide_site_options(const kernel::Kernel& kernel);

}  // namespace suture::patch
