// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables that a compiled object keeps about its code, by the part that each entry is about.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "prove/object.h"

namespace suture::prove {

// Sizes and offsets in the kernel's structures, by name: "bug_entry", "klp_func.new_func".
using Constants = std::map<std::string, std::uint64_t, std::less<>>;

std::uint64_t entry_size(const elf::TableLayout& layout, const Constants& constants);

struct Entry {
  const elf::TableLayout* table = nullptr;
  ByteView bytes;  // the last one of a section may be cut
  std::vector<Field> fields;
};

// From `offset` of the part on, `row` tells how to unwind.
struct Row {
  std::uint64_t offset = 0;
  ByteView row;
};

struct Tables {
  std::vector<std::vector<Entry>> entries;  // by part: in the order of the tables, then of each
  std::vector<std::vector<Row>> rows;       // by part; the first is in force at its start
  std::vector<bool> traceable;  // by part: it begins with the call that ftrace redirects

  // proof-failed where a table is not understood.
  static Result<Tables> read(const Object& object, const Constants& constants);
};

}  // namespace suture::prove
