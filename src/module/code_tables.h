// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables about code (bug, exception, alternatives, ..., ORC) of the pieces that were placed.
#pragma once

#include "elf/arch.h"
#include "module/references.h"

namespace suture::module {

// The entries that describe `piece`.
Status write_tables(const Source& source, std::int32_t piece, const elf::Arch& arch,
                    Assembly& assembly, References& references);

// The rows for unwinding out of `piece`. Every piece of the source must have been placed: the end
// of a piece is marked where no other follows.
void write_orc(const Source& source, std::int32_t piece, const elf::Arch& arch, Assembly& assembly);

}  // namespace suture::module
