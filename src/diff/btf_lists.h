// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"
#include "diff/pieces.h"

namespace suture::diff {

constexpr std::string_view btf_lists_section = ".BTF_ids";

// data-changed where post has other lists of BTF ids than pre.
std::optional<Error> changed_btf_lists(const PieceGraph& pre, const PieceGraph& post);

}  // namespace suture::diff
