// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: some of what a module holds is led to by nothing that a redirect reaches, and a module
// must hold nothing else.
//
// Method: new globals, for other files, and descriptors that the kernel reads from a section of
// their own are looked for where the module has them, and followed like all else. At the end every
// byte is padding or was explained, and so was every entry of a table.
//
// Invariant: what was explained by nothing is accused, also where nothing uses it.
#include <fmt/format.h>

#include <algorithm>

#include "prove/meaning.h"

namespace suture::prove {

// struct pi_entry: numbers and pointers to strings.
bool Meaning::same_descriptor(std::size_t side, std::int32_t index, std::uint64_t address) const {
  const Read& post = sides_[side].post;
  const Part& part = post.object.part(index);
  auto found = patch_.at(address, part.size);
  if (!found) {
    return false;
  }
  std::uint64_t done = 0;
  const ByteView wanted = post.object.bytes(part);
  for (const Field& field : post.fields_of(index)) {
    const auto value = value_at(address + field.offset, field.kind);
    const auto text = field.target.merged == 0
                          ? std::nullopt
                          : post.object.content(field.target.merged, field.target.offset);
    const auto there = text && value ? patch_.at(*value, text->bytes.size()) : std::nullopt;
    if (!there || !std::ranges::equal(*there, text->bytes) ||
        !std::ranges::equal(wanted.subspan(done, field.offset - done),
                            found->subspan(done, field.offset - done))) {
      return false;
    }
    done = field.offset + field.kind.size;
  }
  return std::ranges::equal(wanted.subspan(done), found->subspan(done));
}

// .printk_index holds pointers to descriptors of messages, which nothing else names.
void Meaning::expect_descriptors(std::size_t side) {
  constexpr std::string_view section = ".printk_index";
  const LoadedPatch::Area* area = patch_.area(section);
  const Read& post = sides_[side].post;
  if (area == nullptr) {
    return;
  }
  for (std::uint64_t at = 0; at + 8 <= area->bytes.size(); at += 8) {
    const std::uint64_t address = area->address + at;
    if (extents_.contains(address)) {
      continue;
    }
    const auto descriptor = *read_le<std::uint64_t>(area->bytes, at);
    for (std::size_t i = 0; i < post.object.parts().size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      const auto& fields = post.fields[i];
      if (post.object.section_of(post.object.parts()[i]).name == section &&
          !placed_.contains({side, index}) && fields.size() == 1 && fields[0].target.part >= 0 &&
          same_descriptor(side, fields[0].target.part, descriptor)) {
        expect(side, index, address);
        break;
      }
    }
  }
}

// The symbol table says where a new global lies, and so does that of another object's of its name;
// whether it does is checked like anything else.
void Meaning::expect_new_globals(std::size_t side) {
  const Read& post = sides_[side].post;
  for (std::size_t i = 0; i < post.object.parts().size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    const Part& part = post.object.parts()[i];
    if (!is_new({side, index}) || !post.object.global(part) || placed_.contains({side, index})) {
      continue;
    }
    for (const elf::Symbol& symbol : patch_.elf().symbols()) {
      if (!symbol.defined() || symbol.name != post.object.name(part)) {
        continue;
      }
      auto area = std::ranges::find(patch_.areas(), symbol.section, &LoadedPatch::Area::section);
      if (area != patch_.areas().end() && !extents_.contains(area->address + symbol.value)) {
        expect(side, index, area->address + symbol.value);
        break;
      }
    }
  }
}

void Meaning::expect_unreached() {
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    if (sides_[i].unit != nullptr) {
      expect_descriptors(i);
      expect_new_globals(i);
    }
  }
  follow();
}

void Meaning::check_rest(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& known) {
  for (const ModuleTables::Entry& entry : tables_.entries()) {
    if (!entry.explained) {
      accuse(patch_.describe(entry.address),
             fmt::format("an entry of {} is about {}, which is "
                         "nothing that was compiled",
                         entry.table->section, describe_address(entry.about)));
    }
  }
  std::set<std::uint64_t> ends = ends_;
  for (std::uint64_t end : ends_) {
    if (tables_.rows_at(end, end + 1).empty()) {
      accuse(patch_.describe(end), "the end of an entry thunk is not marked for unwinding (ORC)");
    }
  }
  for (const auto& [place, address] : placed_) {
    const Read& post = sides_[place.first].post;
    const bool has_rows = !post.tables.rows[static_cast<std::size_t>(place.second)].empty();
    const std::uint64_t end = address + form(place.first, place.second).size;
    if (!has_rows) {
      continue;
    }
    ends.insert(end);
    const auto at_end = tables_.rows_at(end, end + 1);
    if (at_end.empty()) {
      accuse(describe(Holder{.side = place.first, .part = place.second}, end - address),
             "its end is not marked for unwinding (ORC)");
    }
  }
  for (const ModuleTables::Row& row : tables_.rows()) {
    if (!row.explained && !(row.is_end() && ends.contains(row.about))) {
      accuse(patch_.describe(row.about), "a row for unwinding (ORC) is about nothing compiled");
    }
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all = known;
  all.insert(all.end(), contents_.begin(), contents_.end());
  for (const auto& [start, extent] : extents_) {
    all.emplace_back(start, extent.end - start);
  }
  check_unexplained(std::move(all));
}

// Between what is explained there is only padding.
void Meaning::check_unexplained(std::vector<std::pair<std::uint64_t, std::uint64_t>> extents) {
  std::ranges::sort(extents);
  for (const LoadedPatch::Area& area : patch_.areas()) {
    const elf::Section& section = patch_.elf().sections()[area.section];
    const std::string& name = section.name;
    if (section.type == SHT_NOTE || name == "__versions" || name.starts_with(".init.") ||
        name.starts_with(".exit.") || is_table(sides_[0].post.object.arch(), name)) {
      continue;
    }
    const std::uint8_t filler = (section.flags & SHF_EXECINSTR) != 0 ? 0xcc : 0;
    std::uint64_t at = area.address;
    auto check_until = [&](std::uint64_t end) {
      for (; at < end; ++at) {
        if (area.bytes[at - area.address] != filler) {
          accuse(patch_.describe(at), "it is nothing that was compiled");
          return false;
        }
      }
      return true;
    };
    auto it = std::ranges::lower_bound(extents, area.address, {},
                                       &std::pair<std::uint64_t, std::uint64_t>::first);
    const std::uint64_t area_end = area.address + area.bytes.size();
    bool clean = true;
    for (; clean && it != extents.end() && it->first < area_end; ++it) {
      clean = check_until(it->first);
      at = std::max(at, it->first + it->second);
    }
    if (clean) {
      check_until(area_end);
    }
  }
}

}  // namespace suture::prove
