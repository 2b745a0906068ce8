// SPDX-License-Identifier: GPL-2.0-or-later
//
// The static keys of what is done once, and what each has filled.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "prove/pairing.h"

namespace suture::prove {

struct Fill {
  std::int32_t flag = -1;
  std::int32_t part = -1;   // what is filled, or
  std::string_view symbol;  // another file's
  std::int64_t offset = 0;  // from its start
  bool operator==(const Fill&) const = default;
};

// By the part of the key; without those that fill nothing, or not the same wherever they are used.
std::map<std::int32_t, Fill> fills_of(const Read& side);

}  // namespace suture::prove
