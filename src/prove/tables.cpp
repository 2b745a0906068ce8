// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

std::unexpected<Error> unknown_table(std::string_view section, std::string reason) {
  return fail(Code::proof_failed, std::string(section), std::move(reason),
              "report this with the diff");
}

// Where an entry says that its other code is of no bytes, the place that it names is what happens
// to come next: only that it names some place matters, and the code that it is about serves.
void settle_empty_other(const elf::TableLayout& layout, Entry& entry) {
  const auto size =
      layout.other_size_from_end == 0
          ? std::nullopt
          : read_le<std::uint8_t>(entry.bytes, entry.bytes.size() - layout.other_size_from_end);
  auto key = std::ranges::find(entry.fields, layout.key_offset, &Field::offset);
  auto other = std::ranges::find(entry.fields, layout.other_field, &Field::offset);
  if (size && *size == 0 && key != entry.fields.end() && other != entry.fields.end()) {
    other->target = key->target;
  }
}

Status read_table(const Object& object, std::uint32_t number, const elf::TableLayout& layout,
                  std::uint64_t size, Tables& out) {
  const elf::Section& section = object.elf().sections()[number];
  if (size == 0) {
    return unknown_table(section.name, "the size of its entries is not known");
  }
  for (std::uint64_t at = 0; at < section.data.size(); at += size) {
    const std::uint64_t end = std::min(section.data.size(), at + size);
    if (end - at < size && (layout.min_tail == 0 || end - at < layout.min_tail)) {
      return unknown_table(section.name, "its last entry is cut off");
    }
    Entry entry{.table = &layout,
                .bytes = section.data.subspan(at, end - at),
                .fields = TRY(object.fields(number, at, end))};
    settle_empty_other(layout, entry);
    auto key = std::ranges::find(entry.fields, layout.key_offset, &Field::offset);
    if (key == entry.fields.end() || key->target.part < 0) {
      return unknown_table(section.name, fmt::format("entry {:#x} is about no code", at));
    }
    const auto part = static_cast<std::size_t>(key->target.part);
    out.traceable[part] = out.traceable[part] || section.name == "__mcount_loc";
    out.entries[part].push_back(std::move(entry));
  }
  return {};
}

// objtool leaves out a row that repeats the one before it in the same section.
Status read_rows(const Object& object, Tables& out) {
  const elf::Section* rows = object.elf().section(".orc_unwind");
  const elf::Section* places = object.elf().section(".orc_unwind_ip");
  if (rows == nullptr || places == nullptr || places->size == 0) {
    return {};
  }
  const std::uint64_t count = places->size / 4;
  if (places->relocations.size() != count || rows->data.size() % count != 0) {
    return unknown_table(".orc_unwind", "its two halves do not fit each other");
  }
  const std::uint64_t size = rows->data.size() / count;
  std::map<std::pair<std::uint32_t, std::uint64_t>, ByteView> all;
  for (const elf::Relocation& relocation : places->relocations) {
    const elf::Symbol& symbol = object.elf().symbols()[relocation.symbol];
    const auto at = symbol.value + static_cast<std::uint64_t>(relocation.addend);
    all[{symbol.section, at}] = rows->data.subspan(relocation.offset / 4 * size, size);
  }
  for (std::size_t i = 0; i < object.parts().size(); ++i) {
    const Part& part = object.parts()[i];
    if (part.kind == PartKind::data) {
      continue;
    }
    auto it = all.upper_bound({part.section, part.start});
    if (it != all.begin() && std::prev(it)->first.first == part.section) {
      out.rows[i].push_back({0, std::prev(it)->second});
    }
    for (; it != all.end() && it->first.first == part.section &&
           it->first.second < part.start + part.size;
         ++it) {
      out.rows[i].push_back({it->first.second - part.start, it->second});
    }
  }
  return {};
}

}  // namespace

std::uint64_t entry_size(const elf::TableLayout& layout, const Constants& constants) {
  if (layout.size_constant.empty()) {
    return layout.entry_size;
  }
  auto it = constants.find(layout.size_constant);
  return it == constants.end() ? 0 : it->second;
}

Result<Tables> Tables::read(const Object& object, const Constants& constants) {
  Tables out;
  out.entries.resize(object.parts().size());
  out.rows.resize(object.parts().size());
  out.traceable.resize(object.parts().size(), false);
  const auto& sections = object.elf().sections();
  for (const elf::TableLayout& layout : object.arch().tables()) {
    for (std::uint32_t i = 1; i < sections.size(); ++i) {
      if (sections[i].name == layout.section && sections[i].size != 0) {
        TRY(read_table(object, i, layout, entry_size(layout, constants), out));
      }
    }
  }
  TRY(read_rows(object, out));
  return out;
}

}  // namespace suture::prove
