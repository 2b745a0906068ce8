// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text as people read it: words, lines and columns of a given width, in characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace suture::cli {

// "a, b, c"
std::string joined(const std::vector<std::string>& words);

// Characters of UTF-8; each is taken to be one column wide.
std::size_t columns(std::string_view text);
// The first so many characters.
std::string_view first_columns(std::string_view text, std::size_t count);

// Lines of at most `width` characters, broken between words; a longer word is cut. At least one.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);
// The same as one text. Lines after the first begin with `indent` blanks, which count.
std::string filled(std::string_view text, std::size_t width, std::size_t indent = 0);

// Rows of cells as aligned columns, two spaces apart; the first row is the heading. Where that is
// wider than `width`, the widest columns are made narrower and their cells wrapped. 0: no limit.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t width);

// The candidate that `word` was probably meant to be.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

}  // namespace suture::cli
