// SPDX-License-Identifier: GPL-2.0-or-later
//
// Constants that the kernel writes into its code when it boots (asm/runtime-const.h, Linux 6.11).
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "elf/object.h"

namespace suture::elf {

// In a relocatable object: code that loads such a constant reads the variable that it is made of
// instead, by a relocation. What has no instruction of that length stays as it is, and so does the
// list of those places.
void read_variables_for_constants(ObjectFile& object);

// The same in a linked kernel, where nothing has been written yet. `address_of` knows the
// variables' addresses.
void read_variables_for_constants(
    ObjectFile& vmlinux,
    const std::function<std::optional<std::uint64_t>(std::string_view)>& address_of);

}  // namespace suture::elf
