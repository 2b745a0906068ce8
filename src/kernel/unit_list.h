// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel's list of compile units (units.h): how it is made and how it is written down.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/units.h"

namespace suture::kernel {

inline constexpr std::string_view units_format = "suture units 1";

// Lists of words with what is a unit's own taken out; equal ones are one.
class WordLists {
 public:
  // The list's number; the unit's other fields are set.
  std::uint32_t number_of(const std::vector<std::string>& words, const Unit& unit);
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

// The words that one of the lines stands for.
std::vector<std::string> words_of(std::string_view line, const Unit& unit);

// What a list is made of.
struct ListParts {
  WordLists lists;
  std::vector<Unit> units;
  std::set<std::string> included;           // Units::may_be_included
  std::map<std::string, std::string> made;  // Units::made_of
};

// The list's text.
std::string list_text(const ListParts& parts);

}  // namespace suture::kernel
