// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the kernel walks its tables of PCI quirks (DECLARE_PCI_FIXUP_*) whenever a device is
// found, enabled, suspended or resumed. Their entries have no names and nothing refers to them, so
// that a new, changed or removed one shows nowhere else, and a patch cannot give the kernel one.
//
// Method: a table is its bytes and what its fields refer to, in order of place.
#include "diff/quirk_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string>

namespace suture::diff {

namespace {

constexpr std::string_view sections = ".pci_fixup";  // and what follows it

// The bytes up to a field that the linker fills, and what that field refers to.
struct Part {
  std::string content;
  std::string_view function;  // of the field; the last part of a table has none
};

// By section.
using Tables = std::map<std::string_view, std::vector<Part>>;

Tables tables_of(const PieceGraph& graph, const std::vector<std::int32_t>* pre_of) {
  std::vector<const Piece*> pieces;
  for (const Piece& piece : graph.pieces()) {
    if (graph.section_of(piece).name.starts_with(sections)) {
      pieces.push_back(&piece);
    }
  }
  std::ranges::sort(pieces, {}, [](const Piece* piece) { return piece->offset; });
  Tables out;
  for (const Piece* piece : pieces) {
    std::vector<Part>& table = out[graph.section_of(*piece).name];
    const ByteView bytes = graph.bytes(*piece);
    std::size_t done = 0;
    for (const Reference& reference : piece->references) {
      const std::int32_t target = reference.target_piece;
      const std::string_view name =
          target < 0 ? graph.object().symbols()[reference.symbol].name : graph.piece(target).name;
      const std::int32_t before =
          target < 0 || pre_of == nullptr ? target : (*pre_of)[static_cast<std::size_t>(target)];
      const ByteView upto = bytes.subspan(done, reference.offset - done);
      table.push_back({fmt::format("{:02x} {} {}", fmt::join(upto, ""),
                                   before < 0 ? std::string(name) : std::to_string(before),
                                   reference.target_offset),
                       name});
      done = reference.offset;
    }
    table.push_back({fmt::format("{:02x}", fmt::join(bytes.subspan(done), "")), {}});
  }
  return out;
}

}  // namespace

std::optional<Error> changed_quirk_tables(const PieceGraph& pre, const PieceGraph& post,
                                          const std::vector<std::int32_t>& pre_of) {
  Tables before = tables_of(pre, nullptr);
  Tables after = tables_of(post, &pre_of);
  for (const auto& [section, parts] : before) {
    after[section];  // it may be gone
  }
  for (const auto& [section, parts] : after) {
    const std::vector<Part>& old = before[section];
    const auto [was, now] = std::ranges::mismatch(old, parts, {}, &Part::content, &Part::content);
    if (was == old.end() && now == parts.end()) {
      continue;
    }
    std::string_view function = now == parts.end() ? std::string_view{} : now->function;
    if (function.empty() && was != old.end()) {
      function = was->function;
    }
    return Error{Code::data_changed, std::string(function.empty() ? section : function),
                 fmt::format("an entry of {} changes here, a table of PCI quirks: the kernel walks "
                             "its own whenever a device is found, enabled or resumed, and a patch "
                             "cannot give it another",
                             section),
                 "leave the table as it is; do what the quirk does in a function that is called "
                 "already"};
  }
  return std::nullopt;
}

}  // namespace suture::diff
