// SPDX-License-Identifier: GPL-2.0-or-later
//
// Names that macros make with "##".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace suture::source {

// What a macro can make: the name's letters, and in it `given` for what stands at the macro's
// call, `number` for a line's or a counter's, and `unknown` for what comes from elsewhere
// ("\1_ops").
struct Pasting {
  static constexpr char given = '\1';
  static constexpr char unknown = '\2';
  static constexpr char number = '\3';
  std::string macro;
  std::string pattern;
  bool operator==(const Pasting&) const = default;
};

// What is known of macros that are handed on as parts of names.
struct Parts {
  // Macros that stand for one word, and that word; sorted.
  std::vector<std::pair<std::string_view, std::string_view>> words;
  // Macros that stand for what other macros make.
  std::unordered_set<std::string> made;
};

// Of definitions (what stands behind "define"), with those of macros that hand their own arguments
// on to one that pastes.
std::vector<Pasting> pastings(const std::vector<std::string>& definitions, const Parts& parts);

// The ways in which the pattern can give the name: each the non-empty parts that must be given at
// the call. `exists` says whether a part is written anywhere. No way: it cannot.
std::vector<std::vector<std::string>> ways_to_paste(
    std::string_view pattern, std::string_view name,
    const std::function<bool(std::string_view)>& exists);

}  // namespace suture::source
