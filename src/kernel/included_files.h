// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which files of a source tree are compiled as a part of others though they are no headers.
#pragma once

#include <compare>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

// The .c files and others that no name ending in ".h" gives away and that a C file of the tree may
// include, as paths from its root. Never too few; perhaps too many.
std::set<std::string> included_sources(const fs::path& tree, const std::string& arch);

// A name that does not end in ".h", in an #include or in a macro that one may take it from.
struct IncludedName {
  std::string spelled;
  bool beside = false;  // in quotes in an #include: the includer's directory comes first
  auto operator<=>(const IncludedName&) const = default;
};
std::set<IncludedName> included_names(std::string_view text);

}  // namespace suture::kernel
