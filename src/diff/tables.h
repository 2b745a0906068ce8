// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables that an object keeps about its code (bug, exception, alternatives, jump labels, ORC,
// ...), cut into entries and handed to the piece that each entry describes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "diff/pieces.h"

namespace suture::diff {

// Entry sizes that depend on the kernel's version and configuration, as the compiled glue states
// them ("bug_entry" → 12). See module/glue.h.
using TableSizes = std::map<std::string, std::uint64_t, std::less<>>;

struct TableEntry {
  std::uint32_t section = 0;
  std::uint64_t offset = 0;  // in the section
  std::uint64_t size = 0;
  std::vector<Reference> references;  // offsets from the start of the entry
};

// One row of the ORC tables: from `offset` of the piece on, `entry` tells how to unwind.
struct OrcRow {
  std::uint64_t offset = 0;
  ByteView entry;
};

class CodeTables {
 public:
  static Result<CodeTables> build(const PieceGraph& graph, const TableSizes& sizes);

  // Entries about that piece, in section order, then table order.
  const std::vector<TableEntry>& of(std::int32_t piece) const {
    return entries_.at(static_cast<std::size_t>(piece));
  }
  // In order of offset; the first row is at offset 0 where the piece has any.
  const std::vector<OrcRow>& orc(std::int32_t piece) const {
    return orc_.at(static_cast<std::size_t>(piece));
  }
  // The piece starts with the call that ftrace turns on and off (__mcount_loc names its entry).
  bool traceable(std::int32_t piece) const {
    return traceable_.at(static_cast<std::size_t>(piece));
  }

 private:
  Status read_table(const PieceGraph& graph, const elf::TableLayout& layout, std::uint64_t size);
  Status read_orc(const PieceGraph& graph);

  std::vector<std::vector<TableEntry>> entries_;
  std::vector<std::vector<OrcRow>> orc_;
  std::vector<bool> traceable_;
};

}  // namespace suture::diff
