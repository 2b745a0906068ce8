// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether a change to a C file can alter a type, so that layouts have to be compared.
#pragma once

#include <string_view>

namespace suture::source {

// False only where all that differs between the two texts lies inside function bodies that define
// no types: then every declaration, macro and include is the same.
bool may_change_types(std::string_view before, std::string_view after);

}  // namespace suture::source
