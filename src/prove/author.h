// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a compiled file says by the macros of suture.h, read by the proof for itself.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "prove/object.h"

namespace suture::prove {

struct AuthorsWord {
  std::vector<std::pair<std::string, std::int32_t>> callbacks;  // pre_patch, ... and the post part
  std::vector<std::pair<std::uint64_t, std::uint32_t>> states;  // id and version
  std::vector<std::pair<std::string, std::string>> ignored;     // name and reason
  std::vector<std::pair<std::string, std::string>> taken_back;  // likewise
};

// proof-failed where the sections are not as suture.h makes them.
Result<AuthorsWord> read_authors_word(const Object& post);

}  // namespace suture::prove
