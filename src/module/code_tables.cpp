// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/code_tables.h"

#include <algorithm>

namespace suture::module {

namespace {

// The size that an entry is written with: a last one that was cut off is written whole.
std::uint64_t whole_size(const diff::TableEntry& entry, std::string_view section,
                         const elf::Arch& arch) {
  for (const elf::TableLayout& layout : arch.tables()) {
    if (layout.section == section && layout.min_tail != 0) {
      return layout.entry_size;
    }
  }
  return entry.size;
}

}  // namespace

Status write_tables(const Source& source, std::int32_t piece, const elf::Arch& arch,
                    Assembly& assembly, References& references) {
  const auto& entries = source.tables->of(piece);
  const std::set<std::size_t>& dropped = source.late[static_cast<std::size_t>(piece)].dropped;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (dropped.contains(i)) {
      continue;
    }
    const diff::TableEntry& entry = entries[i];
    const elf::Section& from = source.graph->object().sections()[entry.section];
    std::int32_t section = assembly.section(from.name, SHT_PROGBITS,
                                            from.flags & (SHF_ALLOC | SHF_WRITE), from.alignment);
    Place place = assembly.append(section, from.data.subspan(entry.offset, entry.size),
                                  whole_size(entry, from.name, arch), 1);
    const References::Holder holder{source, piece, place, true};
    for (const diff::Reference& reference : entry.references) {
      TRY(references.write(holder, reference));
    }
  }
  return {};
}

void write_orc(const Source& source, std::int32_t piece, const elf::Arch& arch,
               Assembly& assembly) {
  const auto& rows = source.tables->orc(piece);
  if (rows.empty()) {
    return;
  }
  Place place = source.places[static_cast<std::size_t>(piece)];
  std::int32_t entries = assembly.section(".orc_unwind", SHT_PROGBITS, SHF_ALLOC, 1);
  std::int32_t addresses = assembly.section(".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 4);
  auto add = [&](std::uint64_t offset, ByteView row) {
    assembly.append(entries, row, row.size(), 1);
    Place field = assembly.append(addresses, {}, 4, 4);
    assembly.relocate(field, arch.pc_relative32(), place, static_cast<std::int64_t>(offset));
  };
  for (const diff::OrcRow& row : rows) {
    add(row.offset, row.entry);
  }
  auto slot = static_cast<std::size_t>(piece);
  auto add_stub = [&](std::uint64_t site, std::uint64_t stub) {
    auto next = std::ranges::upper_bound(rows, site, {}, &diff::OrcRow::offset);
    add(stub, std::prev(next)->entry);
  };
  for (const LateBranch& branch : source.late[slot].branches) {
    add_stub(branch.site, branch.stub);
  }
  for (const NearJump& jump : source.late[slot].jumps) {
    add_stub(jump.field, jump.stub);
  }
  // Past the end nothing is known. Where another piece starts at once, its own first row says so.
  std::uint64_t size = source.size(slot);
  bool followed = std::ranges::any_of(source.places, [&](const Place& other) {
    return other.section == place.section && other.offset == place.offset + size;
  });
  if (!followed) {
    Bytes unknown(rows[0].entry.size(), 0);
    add(size, unknown);
  }
}

}  // namespace suture::module
