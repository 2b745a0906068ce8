// SPDX-License-Identifier: GPL-2.0-or-later
//
// Keeps __LINE__ of the lines that a patch did not touch.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace suture::source {

// A line of a patched file.
struct NumberedLine {
  std::string_view text;   // with its newline, where it has one
  std::size_t origin = 0;  // its 1-based number before all patches; 0: a patch added it
};

// The text of `lines` with `#line` directives such that the preprocessor counts every line that has
// an origin by that number, as soon after each change as a directive may stand. Lines are C.
std::string sync_lines(std::span<const NumberedLine> lines);

}  // namespace suture::source
