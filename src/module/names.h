// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which names each object's files define, as the object's linker sees them: one table of what was
// before the diff, one of what is after it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "diff/pieces.h"

namespace suture::module {

// A file, by its number among those of the patch, that defines a name.
struct Definition {
  std::size_t file = 0;
  std::int32_t piece = -1;
  std::uint8_t binding = STB_LOCAL;  // STB_*
  bool exported = false;             // to modules
};

class Names {
 public:
  using OfObject = std::unordered_map<std::string_view, std::vector<Definition>>;

  // The names that other files see. `graph` must outlive this.
  void add(std::size_t file, const std::string& object, const diff::PieceGraph& graph);
  // The file's own things of names that other files see of others, here or in `also`.
  void add_own(std::size_t file, const std::string& object, const diff::PieceGraph& graph,
               const Names& also);

  const std::vector<Definition>& of(std::string_view object, std::string_view name) const;
  // What the object's linker takes for the name where another file says it: the strong definition,
  // or else the weak one. Null where no file of the patch has one, or several are as good.
  const Definition* global(std::string_view object, std::string_view name) const;

  const std::map<std::string, OfObject, std::less<>>& objects() const { return objects_; }

 private:
  bool sees(std::string_view object, std::string_view name) const {
    return !of(object, name).empty();
  }

  std::map<std::string, OfObject, std::less<>> objects_;
};

}  // namespace suture::module
