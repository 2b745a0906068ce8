// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "diff/pieces.h"

namespace suture::diff {

// data-changed where post has other entries in its tables of PCI quirks than pre; pre_of: the piece
// of pre that is the same thing as one of post, or -1.
std::optional<Error> changed_quirk_tables(const PieceGraph& pre, const PieceGraph& post,
                                          const std::vector<std::int32_t>& pre_of);

}  // namespace suture::diff
