// SPDX-License-Identifier: GPL-2.0-or-later
//
// Types: the patched code must see memory as the unpatched code left it, and the unpatched source
// must see it as the shipped kernel does.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "kernel/types.h"
#include "source/type_names.h"

namespace suture::patch {

// layout-changed, one for each type of pre that post lays out in another way, under whatever name.
// Other types that only post has are new, or were used by no code: nothing in memory is of them.
// `names`: what the diff's texts say.
std::vector<Error> changed_layouts(const kernel::TypeTable& pre, const kernel::TypeTable& post,
                                   const source::TypeNames& names);

// run-pre-mismatch for the first type of pre that some of `run` (the shipped kernel's tables) have
// and none lays out like pre.
std::optional<Error> foreign_layout(const kernel::TypeTable& pre,
                                    const std::vector<const kernel::TypeTable*>& run);

}  // namespace suture::patch
