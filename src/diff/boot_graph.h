// SPDX-License-Identifier: GPL-2.0-or-later
//
// All files of a patch as one graph, before or after the diff, by the names that an object's files
// share.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "diff/boot_needs.h"

namespace suture::diff {

// A piece of one side of a file.
struct Node {
  std::size_t file = 0;
  std::int32_t piece = -1;
  auto operator<=>(const Node&) const = default;
};
using Nodes = std::set<Node>;

class BootGraph {
 public:
  // One side of the files. `changed` are its functions that the patch replaces,
  // `called_at_run_time` names that code which stays uses.
  BootGraph(std::span<BootFile> files, const Side& (*side_of)(const BootFile&),
            const Nodes& changed, const Names& called_at_run_time);

  const PieceGraph& graph(std::size_t file) const { return sides_[file]->graph; }
  const Piece& piece(Node node) const { return graph(node.file).piece(node.piece); }
  std::string_view name(Node node) const;
  bool is_function(Node node) const { return piece(node).kind == PieceKind::function; }
  // It is marked as boot code, or nothing else calls it.
  bool is_boot_only(Node node) const;
  std::vector<Node> boot_functions() const;
  // What the files of the patch define for a reference, if they do.
  std::optional<Node> target(std::size_t file, const Reference& reference) const;
  Nodes called_from(std::vector<Node> work) const;
  // What runs for that function alone: nothing else in these files leads to it, nor may another
  // file.
  Nodes only_called_from(Node function) const;
  // Of the kernel itself; null where the patch has no file of it.
  const void* vmlinux() const;

  // All that `wanted` lets through, by references and tables, from `work` on.
  template <class Wanted>
  Nodes reach(std::vector<Node> work, Wanted wanted) const {
    Nodes out;
    while (!work.empty()) {
      const Node node = work.back();
      work.pop_back();
      if (!out.insert(node).second) {
        continue;
      }
      for_each_reference(node, [&](const Reference& reference) {
        const auto to = target(node.file, reference);
        if (to && wanted(reference, *to)) {
          work.push_back(*to);
        }
      });
    }
    return out;
  }

  template <class Function>
  void for_each(Function function) const {
    for (std::size_t file = 0; file < sides_.size(); ++file) {
      for (std::size_t i = 0; i < graph(file).pieces().size(); ++i) {
        function(Node{file, static_cast<std::int32_t>(i)});
      }
    }
  }

  template <class Function>
  void for_each_reference(Node node, Function function) const {
    std::ranges::for_each(piece(node).references, function);
    for (const TableEntry& entry : entries(node)) {
      std::ranges::for_each(entry.references, function);
    }
  }
  // Of tables about its code.
  std::span<const TableEntry> entries(Node node) const {
    return sides_[node.file]->tables.of(node.piece);
  }

 private:
  std::span<BootFile> files_;
  std::vector<const Side*> sides_;
  std::vector<std::set<std::int32_t>> unmarked_;  // boot functions without a mark, by file
  std::map<std::pair<const void*, std::string_view>, Node> shared_;
};

}  // namespace suture::diff
