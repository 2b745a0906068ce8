// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a diff may set a new pointer where a device is found, and follow it where it is opened.
// The devices that are there were found before.
//
// Method: each instruction that names the variable reads or sets it. A function that does both sees
// to itself; where a function only reads what others set, a person has to know.
//
// Invariant: of a variable whose address is taken nothing is known, and nothing said.
#include "diff/new_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "base/text.h"
#include "diff/instruction_text.h"

namespace suture::diff {

namespace {

struct Uses {
  std::set<std::string> set_by, read_by;
  bool unknown = false;
};

// It sets the place that the instruction names, without reading it.
bool only_sets(std::string_view text) {
  const std::size_t comma = text.rfind(", ");
  return text.starts_with("mov") && comma != std::string_view::npos &&
         !text.substr(comma + 2).starts_with('%');
}

bool starts_as_zero(const PieceGraph& graph, const Piece& piece) {
  return piece.references.empty() &&
         std::ranges::all_of(graph.bytes(piece), [](std::uint8_t byte) { return byte == 0; });
}

bool is_new_variable(const BootGraph& after, std::span<BootFile> files, Node node) {
  const PieceGraph& graph = after.graph(node.file);
  const Piece& piece = after.piece(node);
  const ObjectDiff& diff = files[node.file].diff;
  const auto slot = static_cast<std::size_t>(node.piece);
  return piece.kind == PieceKind::data && !piece.name.empty() && diff.fate[slot] == Fate::fresh &&
         diff.correlation.pre_of[slot] < 0 && !may_start_anew(base_name(piece.name)) &&
         (graph.section_of(piece).flags & SHF_WRITE) != 0 && starts_as_zero(graph, piece);
}

void add_use(const BootGraph& after, Node user, const Reference& reference, Uses& uses) {
  const PieceGraph& graph = after.graph(user.file);
  const Piece& piece = after.piece(user);
  if (!after.is_function(user) || reference.takes_address) {
    uses.unknown = true;
    return;
  }
  for (const elf::Instruction& insn : graph.arch().decode(graph.bytes(piece))) {
    if (holds(insn, reference)) {
      const bool sets = only_sets(text_of(graph, piece, insn));
      (sets ? uses.set_by : uses.read_by).emplace(base_name(after.name(user)));
    }
  }
}

}  // namespace

void tell_new_state(const BootGraph& after, std::span<BootFile> files) {
  std::map<Node, Uses> variables;
  after.for_each([&](Node node) {
    if (files[node.file].diff.refusals.empty() && is_new_variable(after, files, node)) {
      variables[node];
    }
  });
  if (variables.empty()) {
    return;
  }
  after.for_each([&](Node user) {
    for (const Reference& reference : after.piece(user).references) {
      const auto to = after.target(user.file, reference);
      const auto known = to ? variables.find(*to) : variables.end();
      if (known != variables.end()) {
        add_use(after, user, reference, known->second);
      }
    }
  });
  for (const auto& [node, uses] : variables) {
    std::vector<std::string> readers;
    std::ranges::set_difference(uses.read_by, uses.set_by, std::back_inserter(readers));
    if (!uses.unknown && !uses.set_by.empty() && !readers.empty()) {
      files[node.file].diff.add_note(fmt::format(
          "{} is new, and zero until {} has run with the patch; {} reads it", after.name(node),
          listed(std::vector<std::string>(uses.set_by.begin(), uses.set_by.end()), 3),
          listed(readers, 3)));
    }
  }
}

}  // namespace suture::diff
