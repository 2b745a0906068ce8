// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a diff does to the names of types: which it defines before and after, and where the code
// names one in place of another. Compiled objects do not tell: they state the types that their code
// uses, so that one which comes may have been in a header all along.
#pragma once

#include <compare>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace suture::source {

class TypeNames {
 public:
  using Names = std::set<std::string, std::less<>>;

  // One file of the diff, before and after.
  void add(std::string_view before, std::string_view after);

  // The name of a structure, union or enumeration, or of a typedef that is its only name.
  bool defined_before(std::string_view name) const { return before_.contains(name); }
  // What declarations and statements name instead of it that are the same otherwise, but perhaps
  // for the name of the variable that they declare.
  Names in_place_of(std::string_view structure) const { return replaced(structure, true); }
  Names in_place_of_typedef(std::string_view name) const { return replaced(name, false); }

  // A new structure or union by whose type the code reads a place that outlives functions, such as
  // file->private_data, and that it read by another type before.
  struct Reading {
    std::string type;
    std::string before;  // empty where that is no structure or union
    std::string place;
    auto operator<=>(const Reading&) const = default;
  };
  std::set<Reading> new_readings() const;

 private:
  using Statements = std::map<std::string, int>;  // and how often
  // Places that outlive functions, with the type by which the code reads them. Types are marked.
  using Takings = std::map<std::pair<std::string, std::string>, int>;  // and how often
  struct File {
    Statements gone;  // that it has less often after
    Statements come;  // and that it has more often
    Takings takings_before, takings_after;
  };

  Names replaced(std::string_view name, bool tagged) const;

  Names before_;
  Names after_;
  std::vector<File> files_;
};

}  // namespace suture::source
