// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a file is that was given as a diff and is none.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace suture::source {

// bad-diff for what is known to be something else than text with unified diffs (another format,
// another encoding); the reason says what it is, the remedy what to run. No error says that it is a
// diff.
Status check_kind(std::string_view bytes, const std::string& where);

}  // namespace suture::source
