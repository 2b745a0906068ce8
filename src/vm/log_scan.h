// SPDX-License-Identifier: GPL-2.0-or-later
//
// What in a kernel's log means that something went wrong.
#pragma once

#include <string_view>

namespace suture::vm {

// The line is of the kind WARN, BUG, Oops, lockup, stall, lock or list corruption, panic.
bool is_suspicious(std::string_view line);

}  // namespace suture::vm
