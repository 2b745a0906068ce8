// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/names.h"

#include <algorithm>

#include "diff/diff.h"

namespace suture::module {

void Names::add(std::size_t file, const std::string& object, const diff::PieceGraph& graph) {
  OfObject& names = objects_[object];
  const auto& symbols = graph.object().symbols();
  const auto exports = diff::exports_of(graph.object());
  for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
    const diff::Piece& piece = graph.pieces()[i];
    if (piece.name.empty() ||
        (piece.kind != diff::PieceKind::function && piece.kind != diff::PieceKind::data)) {
      continue;
    }
    auto define = [&](std::uint32_t symbol) {
      const elf::Symbol& named = symbols[symbol];
      names[named.name].push_back(Definition{file, static_cast<std::int32_t>(i), named.binding,
                                             exports.contains(named.name)});
    };
    define(piece.symbol);
    std::ranges::for_each(piece.aliases, define);
  }
}

const std::vector<Definition>& Names::of(std::string_view object, std::string_view name) const {
  static const std::vector<Definition> none;
  auto names = objects_.find(object);
  if (names == objects_.end()) {
    return none;
  }
  auto found = names->second.find(name);
  return found == names->second.end() ? none : found->second;
}

const Definition* Names::global(std::string_view object, std::string_view name) const {
  for (std::uint8_t binding : {STB_GLOBAL, STB_WEAK}) {
    const Definition* found = nullptr;
    std::size_t count = 0;
    for (const Definition& one : of(object, name)) {
      if (one.binding == binding) {
        found = &one;
        ++count;
      }
    }
    if (count != 0) {
      return count == 1 ? found : nullptr;
    }
  }
  return nullptr;
}

}  // namespace suture::module
