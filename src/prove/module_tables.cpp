// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/module_tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

std::unexpected<Error> wrong(std::string where, std::string reason) {
  return fail(Code::proof_failed, std::move(where), std::move(reason), "report this with the diff");
}

// Where a written field points, its own place being the base of a PC-relative one.
std::optional<std::uint64_t> pointed_at(const LoadedPatch& patch, std::uint64_t address) {
  auto it = patch.written().find(address);
  if (it == patch.written().end()) {
    return std::nullopt;
  }
  const elf::RelocationKind& kind = it->second.kind;
  const ByteView field = *patch.at(address, kind.size);
  if (kind.size == 8) {
    return *read_le<std::uint64_t>(field, 0) + (kind.pc_relative ? address : 0);
  }
  const auto value = static_cast<std::uint64_t>(std::int64_t{*read_le<std::int32_t>(field, 0)});
  return kind.pc_relative ? address + value : value;
}

}  // namespace

bool ModuleTables::Row::is_end() const {
  return std::ranges::all_of(row, [](std::uint8_t byte) { return byte == 0; });
}

Result<ModuleTables> ModuleTables::read(const LoadedPatch& patch, const elf::Arch& arch,
                                        const Constants& constants) {
  ModuleTables out;
  for (const elf::TableLayout& layout : arch.tables()) {
    for (const LoadedPatch::Area& area : patch.areas()) {
      if (patch.section_name(area) == layout.section) {
        TRY(out.read_table(patch, area, layout, entry_size(layout, constants)));
      }
    }
  }
  TRY(out.read_rows(patch));
  return out;
}

Status ModuleTables::read_table(const LoadedPatch& patch, const LoadedPatch::Area& area,
                                const elf::TableLayout& layout, std::uint64_t size) {
  const std::string& name = patch.section_name(area);
  if (size == 0 || area.bytes.size() % size != 0) {
    return wrong(name, "it is no whole number of entries");
  }
  for (std::uint64_t at = 0; at < area.bytes.size(); at += size) {
    auto about = pointed_at(patch, area.address + at + layout.key_offset);
    if (!about) {
      return wrong(fmt::format("{}+{:#x}", name, at), "the entry is about no code");
    }
    by_address_.emplace(*about, entries_.size());
    entries_.push_back(Entry{.table = &layout,
                             .address = area.address + at,
                             .about = *about,
                             .bytes = ByteView(area.bytes).subspan(at, size)});
  }
  return {};
}

Status ModuleTables::read_rows(const LoadedPatch& patch) {
  const LoadedPatch::Area* rows = patch.area(".orc_unwind");
  const LoadedPatch::Area* places = patch.area(".orc_unwind_ip");
  if (rows == nullptr && places == nullptr) {
    return {};
  }
  const std::uint64_t count = places == nullptr ? 0 : places->bytes.size() / 4;
  if (rows == nullptr || count == 0 || places->bytes.size() % 4 != 0 ||
      rows->bytes.size() % count != 0) {
    return wrong(".orc_unwind", "its two halves do not fit each other");
  }
  const std::uint64_t size = rows->bytes.size() / count;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto about = pointed_at(patch, places->address + i * 4);
    if (!about) {
      return wrong(fmt::format(".orc_unwind_ip+{:#x}", i * 4), "the row is about no code");
    }
    rows_.push_back(Row{*about, ByteView(rows->bytes).subspan(i * size, size)});
  }
  std::ranges::stable_sort(rows_, {},
                           [](const Row& row) { return std::pair(row.about, !row.is_end()); });
  return {};
}

std::vector<ModuleTables::Entry*> ModuleTables::entries_about(std::uint64_t from,
                                                              std::uint64_t to) {
  std::vector<std::size_t> found;
  for (auto it = by_address_.lower_bound(from); it != by_address_.end() && it->first < to; ++it) {
    found.push_back(it->second);
  }
  std::ranges::sort(found);
  std::vector<Entry*> out;
  for (std::size_t index : found) {
    out.push_back(&entries_[index]);
  }
  return out;
}

std::vector<ModuleTables::Row*> ModuleTables::rows_at(std::uint64_t from, std::uint64_t to) {
  std::vector<Row*> out;
  auto it = std::ranges::lower_bound(rows_, from, {}, &Row::about);
  for (; it != rows_.end() && it->about < to; ++it) {
    out.push_back(&*it);
  }
  return out;
}

}  // namespace suture::prove
