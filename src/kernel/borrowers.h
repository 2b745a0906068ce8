// SPDX-License-Identifier: GPL-2.0-or-later
//
// Functions of the kernel that only borrow what they are given: whoever gives them an address need
// not keep it in memory for longer than the call.
#pragma once

#include <string_view>

namespace suture::kernel {

// They call a function that they are given, or one that a table which they are given holds, before
// they return, or on other processors before an RCU grace period is over.
bool calls_at_once(std::string_view function);

// They leave the address of data in nobody's memory but for tasks that wait in them.
bool uses_at_once(std::string_view function);

}  // namespace suture::kernel
