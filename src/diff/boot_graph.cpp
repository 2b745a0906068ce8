// SPDX-License-Identifier: GPL-2.0-or-later
#include "diff/boot_graph.h"

#include <algorithm>

#include "diff/boot_functions.h"

namespace suture::diff {

namespace {

// Those functions of the file that may call one of `changed`, and these.
std::set<std::int32_t> callers_of(const PieceGraph& graph, std::size_t file, const Nodes& changed) {
  std::set<std::int32_t> out;
  for (const Node& node : changed) {
    if (node.file == file) {
      out.insert(node.piece);
    }
  }
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

}  // namespace

BootGraph::BootGraph(std::span<BootFile> files, const Side& (*side_of)(const BootFile&),
                     const Nodes& changed, const std::set<std::string_view>& called_at_run_time)
    : files_(files) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    sides_.push_back(&side_of(files[i]));
    const PieceGraph& graph = sides_.back()->graph;
    const std::set<std::int32_t> asked = callers_of(graph, i, changed);
    unmarked_.push_back(unmarked_boot_functions(graph, [&](std::int32_t piece) {
      const std::string_view name = graph.piece(piece).name;
      return asked.contains(piece) && !called_at_run_time.contains(name) &&
             files[i].boot_alone_calls(name);
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
  const std::string_view name = graph(file).object().symbols()[reference.symbol].name;
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

const void* BootGraph::vmlinux() const {
  const auto it = std::ranges::find(files_, Home::vmlinux, &BootFile::home);
  return it == files_.end() ? nullptr : it->object;
}

}  // namespace suture::diff
