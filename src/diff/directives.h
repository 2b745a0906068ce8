// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a patched file says to Suture itself, by the macros of kmod/include/suture.h: sections whose
// names start with ".suture.", which never become part of the patch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "diff/pieces.h"

namespace suture::diff {

struct Directives {
  struct Callback {
    std::string_view kind;       // pre_patch, post_patch, pre_unpatch, post_unpatch
    std::int32_t function = -1;  // post piece
  };
  struct State {
    std::uint64_t id = 0;
    std::uint32_t version = 0;
  };
  struct Ignored {
    std::string name;
    std::string reason;
  };
  std::vector<Callback> callbacks;
  std::vector<State> states;
  std::vector<Ignored> ignored;
  std::vector<Ignored> taken_back;  // likewise: new, and in nobody's hands after the patch
};

// bad-manifest where the macros were not used as they are meant. `post` must outlive the result.
Result<Directives> read_directives(const PieceGraph& post);

bool is_directive_section(std::string_view name);

}  // namespace suture::diff
