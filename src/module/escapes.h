// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses of what a patch adds that others may keep when the patch is taken back.
#pragma once

#include <vector>

#include "module/link.h"

namespace suture::module {

// What of the patch others may still call or use after it is off, and through which function of the
// patch they come by it. Empty: the module may go when its patch has been taken back.
std::vector<Pin> find_escapes(const std::vector<LinkInput>& inputs);

}  // namespace suture::module
