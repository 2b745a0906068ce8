// SPDX-License-Identifier: GPL-2.0-or-later
//
// The checks that the kernel makes itself when a module is loaded, made beforehand and in words.
#pragma once

#include <vector>

#include "check/checks.h"

namespace suture::check {

// "vermagic", "symbols", "entries", "imports". Reads the whole symbol table of the running kernel.
std::vector<Check> kernel_checks(const machine::Machine& machine, const fs::path& module,
                                 const module::Metadata& metadata);

}  // namespace suture::check
