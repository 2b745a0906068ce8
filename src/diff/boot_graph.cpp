// SPDX-License-Identifier: GPL-2.0-or-later
#include "diff/boot_graph.h"

#include <algorithm>

#include "diff/boot_functions.h"

namespace suture::diff {

namespace {

// The function and those of the file that may come to call it.
std::set<std::int32_t> callers_of(const PieceGraph& graph, std::int32_t function) {
  std::set<std::int32_t> out{function};
  for (std::size_t before = 0; before != out.size();) {
    before = out.size();
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      if (std::ranges::any_of(graph.pieces()[i].references, [&](const Reference& reference) {
            return reference.is_branch && out.contains(reference.target_piece);
          })) {
        out.insert(static_cast<std::int32_t>(i));
      }
    }
  }
  return out;
}

// The file's functions that other files see, and that may come to call what the patch replaces.
std::set<std::int32_t> seen_callers(const PieceGraph& graph, std::size_t file,
                                    const Nodes& changed) {
  std::set<std::int32_t> out;
  for (const Node& node : changed) {
    if (node.file == file) {
      out.merge(callers_of(graph, node.piece));
    }
  }
  std::erase_if(out, [&](std::int32_t caller) {
    const Piece& piece = graph.piece(caller);
    return !piece.global || piece.kind != PieceKind::function ||
           is_freed_section(graph.section_of(piece).name);
  });
  return out;
}

}  // namespace

BootGraph::BootGraph(std::span<BootFile> files, const Side& (*side_of)(const BootFile&),
                     const Nodes& changed, const Names& called_at_run_time)
    : files_(files) {
  std::map<const void*, Names> asked;
  for (std::size_t i = 0; i < files.size(); ++i) {
    sides_.push_back(&side_of(files[i]));
    for (std::int32_t caller : seen_callers(graph(i), i, changed)) {
      asked[files[i].object].insert(graph(i).piece(caller).name);
    }
  }
  std::map<const void*, Names> at_boot;
  for (const BootFile& file : files) {
    const auto names = asked.extract(file.object);
    if (!names.empty()) {
      std::erase_if(names.mapped(),
                    [&](std::string_view name) { return called_at_run_time.contains(name); });
      at_boot[file.object] = file.boot_alone_calls(names.mapped());
    }
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    const PieceGraph& graph = sides_[i]->graph;
    unmarked_.push_back(unmarked_boot_functions(graph, [&](std::int32_t piece) {
      return at_boot[files[i].object].contains(graph.piece(piece).name);
    }));
    for (const auto& [name, piece] : names_of(graph)) {
      if (has_global_name(graph, graph.piece(piece), name.second)) {
        shared_.try_emplace({files[i].object, name.second}, Node{i, piece});
      }
    }
  }
}

std::string_view BootGraph::name(Node node) const {
  return piece(node).name.empty() ? std::string_view("unnamed data")
                                  : authors_name(graph(node.file), piece(node));
}

bool BootGraph::is_boot_only(Node node) const {
  return is_freed_section(graph(node.file).section_of(piece(node)).name) ||
         unmarked_[node.file].contains(node.piece);
}

std::vector<Node> BootGraph::boot_functions() const {
  std::vector<Node> out;
  for_each([&](Node node) {
    if (is_function(node) && is_boot_only(node) &&
        !is_exit_section(graph(node.file).section_of(piece(node)).name)) {
      out.push_back(node);
    }
  });
  return out;
}

std::optional<Node> BootGraph::target(std::size_t file, const Reference& reference) const {
  if (reference.target_piece >= 0) {
    return Node{file, reference.target_piece};
  }
  const std::string_view name = name_of(graph(file), reference);
  for (const void* object : {files_[file].object, vmlinux()}) {
    if (auto it = shared_.find({object, name}); it != shared_.end()) {
      return it->second;
    }
  }
  return std::nullopt;
}

Nodes BootGraph::called_from(std::vector<Node> work) const {
  return reach(std::move(work), [&](const Reference& reference, Node to) {
    return reference.is_branch && is_function(to);
  });
}

Nodes BootGraph::only_called_from(Node function) const {
  Nodes called = called_from({function});
  std::vector<Node> others;
  for_each([&](Node node) {
    const bool may_be_called_by_others = is_function(node) && piece(node).global;
    if (node != function && (!called.contains(node) || may_be_called_by_others)) {
      others.push_back(node);
    }
  });
  for (Node node :
       reach(std::move(others), [&](const Reference&, Node to) { return to != function; })) {
    called.erase(node);
  }
  called.insert(function);
  return called;
}

const void* BootGraph::vmlinux() const {
  const auto it = std::ranges::find(files_, Home::vmlinux, &BootFile::home);
  return it == files_.end() ? nullptr : it->object;
}

}  // namespace suture::diff
