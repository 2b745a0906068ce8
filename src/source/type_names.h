// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a diff does to the names of types: which it defines before and after, and where the code
// names one in place of another. Compiled objects do not tell: they state the types that their code
// uses, so that one which comes may have been in a header all along.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace suture::source {

class TypeNames {
 public:
  // One file of the diff, before and after.
  void add(std::string_view before, std::string_view after);

  // The name of a structure, union or enumeration, or of a typedef that is its only name.
  bool defined_before(std::string_view name) const { return before_.contains(name); }
  bool is_new(std::string_view name) const {
    return after_.contains(name) && !before_.contains(name);
  }
  // A declaration or statement is the same but for that it names the one instead of the other.
  bool takes_the_place(std::string_view name, std::string_view of) const;

 private:
  using Names = std::set<std::string, std::less<>>;
  using Statements = std::map<std::string, int>;  // and how often

  Names before_, after_;
  std::vector<Statements> gone_;  // statements of each file that it has less often after
  std::vector<Statements> come_;  // and that it has more often
};

}  // namespace suture::source
