// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "diff/diff.h"
#include "diff/pieces.h"

namespace suture::diff {

// A list that the kernel may walk at any time, whose entries the linker gathers from all files.
bool is_gathered_list(const elf::Arch& arch, const elf::Section& section);

// data-changed where post gives such a list other entries than pre; pre_of: the piece of pre that
// is the same thing as one of post, or -1. Entries that have names on both sides are left to who
// compares variables.
std::optional<Error> changed_gathered_lists(const PieceGraph& pre, const PieceGraph& post,
                                            const std::vector<std::int32_t>& pre_of);

// special-section for code that goes into the patch and has places inside it that such a list of
// the kernel names: nothing would do with the patch's copy what the kernel does there.
std::vector<Error> code_that_lists_name(const PieceGraph& post, const std::vector<Fate>& fate);

}  // namespace suture::diff
