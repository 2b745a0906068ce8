// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables about code in a loaded module, by the address that each entry is about.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "prove/load.h"
#include "prove/tables.h"

namespace suture::prove {

class ModuleTables {
 public:
  struct Entry {
    const elf::TableLayout* table = nullptr;
    std::uint64_t address = 0;  // of the entry
    std::uint64_t about = 0;    // the code that it describes
    ByteView bytes;
    bool explained = false;
  };
  struct Row {
    std::uint64_t about = 0;
    ByteView row;
    bool explained = false;
    bool is_end() const;  // nothing is known from there on
  };

  // proof-failed where a table is not understood.
  static Result<ModuleTables> read(const LoadedPatch& patch, const elf::Arch& arch,
                                   const Constants& constants);

  // Entries about [from, to), in the order of the tables, then of each.
  std::vector<Entry*> entries_about(std::uint64_t from, std::uint64_t to);
  // Rows at [from, to), by address.
  std::vector<Row*> rows_at(std::uint64_t from, std::uint64_t to);
  std::vector<Entry>& entries() { return entries_; }
  std::vector<Row>& rows() { return rows_; }

 private:
  Status read_table(const LoadedPatch& patch, const LoadedPatch::Area& area,
                    const elf::TableLayout& layout, std::uint64_t size);
  Status read_rows(const LoadedPatch& patch);

  std::vector<Entry> entries_;
  std::multimap<std::uint64_t, std::size_t> by_address_;
  std::vector<Row> rows_;  // sorted by address, ends first
};

}  // namespace suture::prove
