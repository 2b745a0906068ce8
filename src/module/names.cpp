// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/names.h"

#include <algorithm>

#include "diff/diff.h"
#include "diff/left_behind.h"

namespace suture::module {

namespace {

// Every name of the graph's functions and variables, and its symbol.
template <class Take>
void each_name(const diff::PieceGraph& graph, const Take& take) {
  const auto& symbols = graph.object().symbols();
  for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
    const diff::Piece& piece = graph.pieces()[i];
    if (!piece.name.empty() &&
        (piece.kind == diff::PieceKind::function || piece.kind == diff::PieceKind::data)) {
      take(static_cast<std::int32_t>(i), symbols[piece.symbol]);
      for (std::uint32_t alias : piece.aliases) {
        take(static_cast<std::int32_t>(i), symbols[alias]);
      }
    }
  }
}

}  // namespace

void Names::add(std::size_t file, const std::string& object, const diff::PieceGraph& graph) {
  OfObject& names = objects_[object];
  const auto exports = diff::exports_of(graph.object());
  each_name(graph, [&](std::int32_t piece, const elf::Symbol& symbol) {
    if (symbol.binding != STB_LOCAL) {
      names[symbol.name].push_back(
          Definition{file, piece, symbol.binding, exports.contains(symbol.name)});
    }
  });
}

void Names::add_own(std::size_t file, const std::string& object, const diff::PieceGraph& graph,
                    const Names& also) {
  OfObject& names = objects_[object];
  each_name(graph, [&](std::int32_t piece, const elf::Symbol& symbol) {
    if (symbol.binding == STB_LOCAL &&
        (sees(object, symbol.name) || also.sees(object, symbol.name))) {
      names[symbol.name].push_back(Definition{file, piece, STB_LOCAL, false});
    }
  });
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
