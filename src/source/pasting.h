// SPDX-License-Identifier: GPL-2.0-or-later
//
// Names that macros make with "##".
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

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
  static constexpr char last_hole = number;
  std::string macro;
  std::string pattern;
  bool operator==(const Pasting&) const = default;
};

// A macro that stands for a number of few digits, as it is spelled.
struct NumberWord {
  static constexpr std::size_t most = 2;
  NumberWord(std::uint32_t name, std::string_view text) : macro(name) {
    std::ranges::copy(text.substr(0, most), digits.begin());
  }
  std::string_view text() const { return {digits.data()}; }
  auto operator<=>(const NumberWord&) const = default;

  std::uint32_t macro = 0;  // hash_of_name() of its name: some may be taken for others
  std::array<char, most + 1> digits{};
};

// What is known of macros that are handed on as parts of names.
struct Parts {
  // Macros that stand for one word, and that word; sorted.
  std::vector<std::pair<std::string_view, std::string_view>> words;
  std::vector<NumberWord> numbers;  // sorted
  // Macros that stand for what other macros make.
  std::set<std::string, std::less<>> made;
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
