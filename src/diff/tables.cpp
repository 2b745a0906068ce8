// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a copied function must bring its rows of every table along, and no others.
//
// Method: each table has entries of one size with a relocation at a known place that names the code
// they describe; the piece that this relocation points into owns the entry. ORC is two parallel
// sections, addresses and rows; objtool leaves out a row that repeats the one before it in the same
// section, so the row in force at a piece's start is looked up and made explicit.
//
// An alternative of no bytes points to where the next one's bytes are; it is made to point to its
// own code, or it would bring that other one along.
//
// Invariants: every entry has exactly one owner; an entry whose key relocation is missing is a
// refusal, never dropped.
#include "diff/tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::diff {

namespace {

std::unexpected<Error> refuse(std::string where, std::string reason) {
  return fail(Code::special_section, std::move(where), std::move(reason),
              "check that the prepared tree and the compiler are those of the kernel; otherwise "
              "report this with the diff");
}

// Where an entry's other code is no bytes long, its field means nothing.
void forget_empty_other(const elf::TableLayout& layout, const elf::Section& section,
                        TableEntry& entry) {
  auto length =
      read_le<std::uint8_t>(section.data, entry.offset + entry.size - layout.other_size_from_end);
  if (layout.other_size_from_end == 0 || !length || *length != 0) {
    return;
  }
  auto key = std::ranges::find(entry.references, layout.key_offset, &Reference::offset);
  auto other = std::ranges::find(entry.references, layout.other_field, &Reference::offset);
  if (key != entry.references.end() && other != entry.references.end()) {
    *other = *key;
    other->offset = layout.other_field;
  }
}

}  // namespace

Result<CodeTables> CodeTables::build(const PieceGraph& graph, const TableSizes& sizes) {
  CodeTables tables;
  tables.entries_.resize(graph.pieces().size());
  tables.orc_.resize(graph.pieces().size());
  tables.traceable_.resize(graph.pieces().size(), false);
  for (const elf::TableLayout& layout : graph.arch().tables()) {
    std::uint64_t size = layout.entry_size;
    if (!layout.size_constant.empty()) {
      auto it = sizes.find(layout.size_constant);
      size = it == sizes.end() ? 0 : it->second;
    }
    TRY(tables.read_table(graph, layout, size));
  }
  TRY(tables.read_orc(graph));
  return tables;
}

Status CodeTables::read_table(const PieceGraph& graph, const elf::TableLayout& layout,
                              std::uint64_t size) {
  const auto& sections = graph.object().sections();
  for (std::uint32_t i = 1; i < sections.size(); ++i) {
    const elf::Section& section = sections[i];
    if (section.name != layout.section || section.size == 0) {
      continue;
    }
    std::uint64_t tail = size == 0 ? 1 : section.size % size;
    if (size == 0 || (tail != 0 && (layout.min_tail == 0 || tail < layout.min_tail))) {
      return refuse(section.name, fmt::format("{} bytes are no whole number of entries of {} bytes",
                                              section.size, size));
    }
    auto next = section.relocations.begin();
    for (std::uint64_t offset = 0; offset < section.size; offset += size) {
      TableEntry entry{
          .section = i, .offset = offset, .size = std::min(size, section.size - offset)};
      std::int32_t owner = -1;
      for (; next != section.relocations.end() && next->offset < offset + size; ++next) {
        Reference reference = graph.resolve(*next);
        // A PC-relative field that is not the entry's first counts from its own place, which the
        // link does too: target_offset is what the row means.
        reference.offset -= offset;
        if (reference.offset == layout.key_offset) {
          owner = reference.target_piece;
        }
        entry.references.push_back(reference);
      }
      if (owner < 0) {
        return refuse(fmt::format("{}+{:#x}", section.name, offset),
                      "the entry does not say which code it is about");
      }
      forget_empty_other(layout, section, entry);
      auto index = static_cast<std::size_t>(owner);
      traceable_[index] = traceable_[index] || section.name == "__mcount_loc";
      entries_[index].push_back(std::move(entry));
    }
  }
  return {};
}

Status CodeTables::read_orc(const PieceGraph& graph) {
  const elf::Section* rows = graph.object().section(".orc_unwind");
  const elf::Section* places = graph.object().section(".orc_unwind_ip");
  if (rows == nullptr || places == nullptr || places->size == 0) {
    return {};
  }
  std::uint64_t count = places->size / 4;
  if (places->size % 4 != 0 || places->relocations.size() != count || rows->data.empty() ||
      rows->data.size() % count != 0) {
    return refuse(".orc_unwind_ip", "the two ORC sections do not fit each other");
  }
  std::uint64_t row_size = rows->data.size() / count;

  struct Place {
    std::uint32_t section;
    std::uint64_t offset;
    std::uint64_t row;
  };
  std::vector<Place> all;
  all.reserve(count);
  for (const elf::Relocation& relocation : places->relocations) {
    const elf::Symbol& symbol = graph.object().symbols()[relocation.symbol];
    if (!symbol.defined()) {
      return refuse(".orc_unwind_ip", "a row is about code outside the object");
    }
    all.push_back({symbol.section, symbol.value + static_cast<std::uint64_t>(relocation.addend),
                   relocation.offset / 4});
  }
  std::ranges::stable_sort(all, [](const Place& a, const Place& b) {
    return a.section != b.section ? a.section < b.section : a.offset < b.offset;
  });
  for (std::size_t p = 0; p < graph.pieces().size(); ++p) {
    const Piece& piece = graph.pieces()[p];
    if (piece.kind != PieceKind::function && piece.kind != PieceKind::blob) {
      continue;
    }
    auto it = std::ranges::partition_point(all, [&](const Place& place) {
      return place.section < piece.section ||
             (place.section == piece.section && place.offset <= piece.offset);
    });
    if (it != all.begin() && std::prev(it)->section == piece.section) {
      orc_[p].push_back({0, rows->data.subspan(std::prev(it)->row * row_size, row_size)});
    }
    for (;
         it != all.end() && it->section == piece.section && it->offset < piece.offset + piece.size;
         ++it) {
      orc_[p].push_back(
          {it->offset - piece.offset, rows->data.subspan(it->row * row_size, row_size)});
    }
  }
  return {};
}

}  // namespace suture::diff
