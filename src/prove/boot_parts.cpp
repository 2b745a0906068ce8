// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what is called once need not say so. An initcall without `__init`, a new helper that
// boot code calls in another file, the function of a timer that only boot code would start: a patch
// has their code, and nothing ever runs it. And entries of lists that the linker gathers are named
// by nobody: one that is missing shows nowhere.
//
// Method: two searches over all files at once, along fields and tables. The first starts from what
// the running kernel can get at: code that it had and other files may call or were given, and data
// that it had.
// The second starts from what is marked as boot code, and keeps to what the first did not find.
// Lists are compared entry by entry, as their bytes and what their fields name.
//
// Invariant: what the first search finds is never called boot code.
#include "prove/boot_parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string>

namespace suture::prove {

namespace {

using Place = std::pair<std::size_t, std::int32_t>;  // side and part

class Search {
 public:
  Search(const std::deque<Side>& sides, bool post) : sides_(sides), post_(post) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (sides[i].unit == nullptr) {
        continue;
      }
      const Object& object = read(i).object;
      for (std::size_t part = 0; part < object.parts().size(); ++part) {
        find_handed_out(i, part);
        for (std::uint32_t symbol : object.parts()[part].symbols) {
          if (object.elf().symbols()[symbol].binding != STB_LOCAL) {
            shared_.emplace(object.elf().symbols()[symbol].name,
                            Place{i, static_cast<std::int32_t>(part)});
          }
        }
      }
    }
  }

  std::vector<std::set<std::int32_t>> run() const {
    std::vector<Place> running;
    std::vector<Place> booting;
    for (std::size_t i = 0; i < sides_.size(); ++i) {
      if (sides_[i].unit == nullptr) {
        continue;
      }
      const Object& object = read(i).object;
      for (std::size_t part = 0; part < object.parts().size(); ++part) {
        const Place place{i, static_cast<std::int32_t>(part)};
        const std::string& section = object.section_of(object.parts()[part]).name;
        if (is_boot_only(section)) {
          if (!is_exit(section)) {
            booting.push_back(place);
          }
        } else if (is_root(place)) {
          running.push_back(place);
        }
      }
      if (post_) {
        for (const auto& [kind, part] : sides_[i].word.callbacks) {
          running.emplace_back(i, part);
        }
      }
    }
    const std::set<Place> live = reach(std::move(running), {});
    std::vector<std::set<std::int32_t>> out(sides_.size());
    for (const auto& [side, part] : reach(std::move(booting), live)) {
      const Object& object = read(side).object;
      if (object.part(part).kind == PartKind::code &&
          !is_boot_only(object.section_of(object.part(part)).name)) {
        out[side].insert(part);
      }
    }
    return out;
  }

 private:
  const Read& read(std::size_t side) const { return post_ ? sides_[side].post : sides_[side].pre; }

  // The running kernel can get at it by itself.
  bool is_root(Place place) const {
    const Object& object = read(place.first).object;
    const Part& part = object.part(place.second);
    const Pairing& pairing = sides_[place.first].pairing;
    if (post_ && pairing.pre(place.second) < 0 && !pairing.come.contains(place.second)) {
      return false;
    }
    if (part.kind == PartKind::data) {
      return true;
    }
    return !starts_a_module(object, part) && (object.global(part) || handed_out_.contains(place));
  }

  static bool starts_a_module(const Object& object, const Part& part) {
    return std::ranges::any_of(part.symbols, [&](std::uint32_t symbol) {
      return object.elf().symbols()[symbol].name == "init_module";
    });
  }

  // The code whose address this part has, and may have given to others: boot code, too. The lists
  // of what is called at boot do not count.
  void find_handed_out(std::size_t side, std::size_t part) {
    const Object& object = read(side).object;
    const std::string& section = object.section_of(object.parts()[part]).name;
    if (section.starts_with(".initcall") || section.starts_with(".init.setup")) {
      return;
    }
    for (const Field& field : read(side).fields[part]) {
      if (field.target.merged == 0 && field.target.part >= 0 && !field.branch) {
        handed_out_.insert({side, field.target.part});
      }
    }
  }

  std::set<Place> reach(std::vector<Place> work, const std::set<Place>& but) const {
    std::set<Place> out;
    while (!work.empty()) {
      const Place place = work.back();
      work.pop_back();
      if (but.contains(place) || !out.insert(place).second) {
        continue;
      }
      for (const Field& field : read(place.first).fields_of(place.second)) {
        follow(place.first, field, work);
      }
      for (const Entry& entry :
           read(place.first).tables.entries[static_cast<std::size_t>(place.second)]) {
        for (const Field& field : entry.fields) {
          follow(place.first, field, work);
        }
      }
    }
    return out;
  }

  void follow(std::size_t side, const Field& field, std::vector<Place>& work) const {
    if (field.target.merged != 0) {
      return;
    }
    if (field.target.part >= 0) {
      work.emplace_back(side, field.target.part);
      return;
    }
    const auto [first, last] =
        shared_.equal_range(read(side).object.elf().symbols()[field.target.symbol].name);
    for (auto it = first; it != last; ++it) {
      work.push_back(it->second);
    }
  }

  const std::deque<Side>& sides_;
  const bool post_;
  std::set<Place> handed_out_;
  std::multimap<std::string_view, Place> shared_;  // whichever object's: more is found, not less
};

// What no variable of a compiler's lies in.
bool may_be_a_list(const elf::Section& section, const elf::Arch& arch) {
  constexpr std::string_view walked[] = {".pci_fixup", ".BTF_ids"};
  constexpr std::string_view others[] = {
      ".data",    ".bss",    ".rodata",      ".ref.",        ".vvar", ".mem",      ".brk",
      "__dyndbg", ".printk", ".static_call", "__tracepoint", ".gnu.", ".altinstr", ".suture"};
  auto begins = [&](std::string_view start) { return section.name.starts_with(start); };
  return (section.flags & SHF_ALLOC) != 0 && (section.flags & (SHF_EXECINSTR | SHF_MERGE)) == 0 &&
         !is_table(arch, section.name) &&
         (std::ranges::any_of(walked, begins) ||
          (!is_boot_only(section.name) && std::ranges::none_of(others, begins)));
}

// The entries of each list, in words.
std::map<std::string_view, std::vector<std::string>> lists_of(const Read& read) {
  const Object& object = read.object;
  std::map<std::string_view, std::vector<std::string>> out;
  std::vector<std::int32_t> order(object.parts().size());
  std::ranges::generate(order, [n = 0]() mutable { return n++; });
  std::ranges::stable_sort(order, {}, [&](std::int32_t i) { return object.part(i).start; });
  for (std::int32_t index : order) {
    const Part& part = object.part(index);
    const elf::Section& section = object.section_of(part);
    if (part.kind != PartKind::data || !may_be_a_list(section, object.arch())) {
      continue;
    }
    // The number at the end of a BTF id's name counts all of the file's.
    std::string_view name = unnumbered(object.name(part));
    name = name.substr(0, name.find_last_not_of("0123456789") + 1);
    std::string words = fmt::format("{} {:02x}", name, fmt::join(object.bytes(part), ""));
    for (const Field& field : read.fields_of(index)) {
      const std::string_view meant = field.target.merged != 0 ? std::string_view("text")
                                     : field.target.part >= 0
                                         ? unnumbered(object.name(object.part(field.target.part)))
                                         : object.elf().symbols()[field.target.symbol].name;
      // Where in a function a place lies changes with its code.
      const bool inside = field.target.part >= 0 && field.target.offset != 0 &&
                          object.part(field.target.part).kind == PartKind::code;
      words += fmt::format(" {}:{}+{}", field.offset, meant,
                           field.target.merged != 0 ? 0
                           : inside                 ? 1
                                                    : field.target.offset);
    }
    out[section.name].push_back(std::move(words));
  }
  return out;
}

}  // namespace

std::vector<std::set<std::int32_t>> unmarked_boot_parts(const std::deque<Side>& sides, bool post) {
  return Search(sides, post).run();
}

void check_lists(Meaning& meaning, const std::deque<Side>& sides) {
  for (const Side& side : sides) {
    if (side.unit == nullptr) {
      continue;
    }
    auto before = lists_of(side.pre);
    auto after = lists_of(side.post);
    for (const auto& [section, entries] : before) {
      after[section];  // it may be gone
    }
    for (const auto& [section, entries] : after) {
      const bool stays = std::ranges::any_of(
          side.word.ignored, [&](const auto& word) { return word.first == section; });
      if (before[section] != entries && !stays) {
        meaning.accuse(fmt::format("{}: {}", side.unit->source, section),
                       "its entries change, and the kernel walks its own list");
      }
    }
  }
}

}  // namespace suture::prove
