// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: show that the module in memory does what post's code does, without knowing how the
// writer came to put anything where it is.
//
// Method: a work list of pairs, a part of post and an address of the module that must hold it. The
// first pairs are the redirects; each pair that is looked at compares bytes and takes every field
// as an equation: what post's field means must be what stands in the module's field. Where that
// lies in the module, it is a further pair; where it lies outside, it must be the address at which
// the running kernel has it. A pair that is expected counts as true, so the whole holds exactly if
// no difference can be reached (a bisimulation).
//
// Invariants: a part of post lies at one place of the module and no two overlap, but for strings
// and constants, which are compared by content. What has a state, and what is compared by address,
// is never in the module if the running kernel has it; code that is stale is never reached in the
// running kernel but by its redirected entry.
#include "prove/meaning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace suture::prove {

namespace {

constexpr std::string_view module_symbol = "__this_module";

}  // namespace

void Meaning::accuse(std::string where, std::string what) {
  proof_.accusations.push_back(Error{Code::proof_failed, std::move(where), std::move(what),
                                     "this is a bug of Suture: report it with the diff"});
}

std::string Meaning::describe(const Side& side, const Target& target) const {
  std::string name;
  if (target.part >= 0) {
    const Part& part = side.post.object.part(target.part);
    name = side.post.object.name(part);
    name = name.empty() ? side.post.object.section_of(part).name : name;
  } else {
    name = target.merged != 0 ? side.post.object.elf().sections()[target.merged].name
                              : std::string(side.symbol_name(target.symbol));
  }
  return target.offset == 0 ? name : fmt::format("{}{:+#x}", name, target.offset);
}

std::string Meaning::describe(const Holder& holder, std::uint64_t offset) const {
  const Side& side = sides_[holder.side];
  std::string out = fmt::format("{}: {}", side.unit == nullptr ? "the glue" : side.unit->source,
                                describe(side, Target{.part = holder.part}));
  return holder.table.empty() ? fmt::format("{}+{:#x}", out, offset)
                              : fmt::format("{}: {}+{:#x}", out, holder.table, offset);
}

std::string Meaning::describe_address(std::uint64_t address) const {
  return patch_.contains(address) ? patch_.describe(address) : running_.describe(address);
}

void Meaning::expect(std::size_t side, std::int32_t part, std::uint64_t address) {
  auto [it, fresh] = placed_.try_emplace({side, part}, address);
  const std::string name = describe(Holder{.side = side, .part = part}, 0);
  if (!fresh) {
    if (it->second != address) {
      accuse(name, fmt::format("it should be at one place of the module, and is at {} and {}",
                               patch_.describe(it->second), patch_.describe(address)));
    }
    return;
  }
  const std::uint64_t end = address + form(side, part).size;
  auto next = extents_.upper_bound(address);
  const bool hits_next = next != extents_.end() && next->first < end;
  const bool hits_last = next != extents_.begin() && std::prev(next)->second.end > address;
  if (hits_next || hits_last) {
    accuse(name, fmt::format("at {} it overlaps something else", patch_.describe(address)));
    return;
  }
  extents_.emplace(address, Extent{end, side, part});
  work_.emplace_back(side, part);
}

void Meaning::follow() {
  while (!work_.empty()) {
    const auto next = work_.back();
    work_.pop_back();
    check(next.first, next.second, placed_.at(next));
  }
}

void Meaning::check(std::size_t side, std::int32_t index, std::uint64_t address) {
  const Read& post = sides_[side].post;
  const Part& part = post.object.part(index);
  const Holder holder{.side = side, .part = index, .address = address};
  const Form& wanted = form(side, index);
  check_memory(holder);
  if (!check_bytes(holder, wanted.bytes, wanted.size, wanted.fields)) {
    return;
  }
  check_fields(holder, wanted.fields, wanted.size);
  if (part.kind == PartKind::data) {
    ++proof_.variables;
    return;
  }
  ++proof_.functions;
  check_room(holder);
  check_tables(holder, wanted);
  check_rows(holder, wanted);
}

// A module that says that it stays in memory has no exit function: the kernel never frees such a
// one.
void Meaning::forget_exit(const Object& glue, std::int32_t part, Form& form) {
  if (glue.name(glue.part(part)) != module_symbol) {
    return;
  }
  std::erase_if(form.fields, [&](const Field& field) {
    return field.target.part >= 0 &&
           glue.section_of(glue.part(field.target.part)).name.starts_with(".exit");
  });
}

const Form& Meaning::form(std::size_t side, std::int32_t part) {
  auto it = forms_.find({side, part});
  if (it == forms_.end()) {
    const Read& post = sides_[side].post;
    it = forms_
             .emplace(std::pair(side, part),
                      form_of(post.object, part, post.fields_of(part), post.tables,
                              [&](const Target& key) { return is_late(side, key); }))
             .first;
    if (sides_[side].unit == nullptr && !patch_.modinfo("suture.pinned").empty()) {
      forget_exit(post.object, part, it->second);
    }
  }
  return it->second;
}

// The memory must be of the kind that the part was compiled for, and last as long as the patch.
void Meaning::check_memory(const Holder& holder) {
  constexpr std::string_view per_cpu = ".data..percpu";
  const Side& side = sides_[holder.side];
  const Part& part = side.post.object.part(holder.part);
  const elf::Section& from = side.post.object.section_of(part);
  const LoadedPatch::Area* area = patch_.area_at(holder.address);
  if (area == nullptr) {
    accuse(describe(holder, 0), "it is not in the module");
    return;
  }
  const elf::Section& to = patch_.elf().sections()[area->section];
  const std::uint64_t kind = from.flags & (SHF_WRITE | SHF_EXECINSTR);
  const bool lasts = side.unit == nullptr || !to.name.starts_with(".init");
  if ((to.flags & kind) != kind || !lasts ||
      from.name.starts_with(per_cpu) != (to.name == per_cpu)) {
    accuse(describe(holder, 0), fmt::format("it lies in {}, which is other memory", to.name));
  }
  // What comes first in its section has that section's alignment, the rest what its place has.
  const std::uint64_t start = part.start - part.room;
  const std::uint64_t align =
      start == 0 ? from.alignment : std::min(from.alignment, start & (~start + 1));
  if (part.kind != PartKind::inline_code &&
      (to.alignment < align || (holder.address - part.room - area->address) % align != 0)) {
    accuse(describe(holder, 0), fmt::format("it is not aligned to {} bytes", align));
  }
}

bool Meaning::check_bytes(const Holder& holder, ByteView wanted, std::uint64_t size,
                          const std::vector<Field>& fields) {
  auto found = patch_.at(holder.address, size);
  if (!found) {
    accuse(describe(holder, 0), "it is not whole in the module");
    return false;
  }
  Bytes left(wanted.begin(), wanted.end());
  left.resize(size, 0);
  Bytes right(found->begin(), found->end());
  auto forget = [&](std::uint64_t from, std::uint64_t count) {
    std::memset(left.data() + from, 0, count);
    std::memset(right.data() + from, 0, count);
  };
  for (const Field& field : fields) {
    forget(field.offset, field.kind.size);
  }
  const Side& side = sides_[holder.side];
  if (side.unit == nullptr && holder.table.empty() &&
      side.post.object.name(side.post.object.part(holder.part)) == module_symbol) {
    check_name_of_glue(holder);
    forget(constants_.at("module.name"), constants_.at("module_name_len"));
  }
  const auto differs = std::ranges::mismatch(left, right).in1;
  if (differs != left.end()) {
    accuse(describe(holder, static_cast<std::uint64_t>(differs - left.begin())),
           fmt::format("its bytes are others at {}", patch_.describe(holder.address)));
    return false;
  }
  return true;
}

// The name that the glue was compiled with is replaced by the patch's.
void Meaning::check_name_of_glue(const Holder& holder) {
  const auto name = patch_.text_at(holder.address + constants_.at("module.name"));
  const auto stated = patch_.modinfo("name");
  if (!name || name->empty() || name->size() >= constants_.at("module_name_len") ||
      stated.size() != 1 || stated[0] != *name) {
    accuse(std::string(module_symbol), "its name is not the one that .modinfo states");
  }
}

// The room before an entry is written to at run time; it must be there as it was compiled.
void Meaning::check_room(const Holder& holder) {
  const Read& post = sides_[holder.side].post;
  const Part& part = post.object.part(holder.part);
  if (part.room == 0) {
    return;
  }
  const ByteView wanted =
      post.object.section_of(part).data.subspan(part.start - part.room, part.room);
  auto found = patch_.at(holder.address - part.room, part.room);
  if (!found || !std::ranges::equal(*found, wanted)) {
    accuse(describe(holder, 0), "the padding before its entry is missing");
  }
  contents_.emplace_back(holder.address - part.room, part.room);
}

void Meaning::check_fields(const Holder& holder, const std::vector<Field>& fields,
                           std::uint64_t size) {
  auto written = patch_.written().lower_bound(holder.address);
  for (const Field& field : fields) {
    const std::uint64_t at = holder.address + field.offset;
    if (written == patch_.written().end() || written->first != at ||
        written->second.kind.size != field.kind.size ||
        written->second.kind.pc_relative != field.kind.pc_relative ||
        written->second.kind.sign_extended != field.kind.sign_extended) {
      accuse(describe(holder, field.offset), "the module does not relocate it, or in another way");
      return;
    }
    const Unit* unit = sides_[holder.side].unit;
    const std::string& late = written->second.late;
    // The loader reads the tables before.
    if (!late.empty() && (unit == nullptr || unit->object != late || !holder.table.empty())) {
      accuse(describe(holder, field.offset),
             fmt::format("it is only written when the module {} comes", late));
    }
    check_field(holder, field);
    ++written;
  }
  if (written != patch_.written().end() && written->first < holder.address + size) {
    accuse(describe(holder, written->first - holder.address),
           "the module relocates what is no relocated field");
  }
}

std::optional<std::uint64_t> Meaning::value_at(std::uint64_t address,
                                               const elf::RelocationKind& kind) const {
  auto field = patch_.at(address, kind.size);
  if (!field) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  if (kind.size == 8) {
    value = *read_le<std::uint64_t>(*field, 0);
  } else if (kind.sign_extended || kind.pc_relative) {
    value = static_cast<std::uint64_t>(std::int64_t{*read_le<std::int32_t>(*field, 0)});
  } else {
    value = *read_le<std::uint32_t>(*field, 0);
  }
  return kind.pc_relative ? value + address : value;
}

void Meaning::check_tables(const Holder& holder, const Form& form) {
  const Part& part = sides_[holder.side].post.object.part(holder.part);
  const auto& wanted = form.entries;
  const auto found = tables_.entries_about(holder.address - part.room, holder.address + form.size);
  for (std::size_t i = 0; i < std::max(wanted.size(), found.size()); ++i) {
    if (i >= wanted.size() || i >= found.size() || wanted[i]->table != found[i]->table) {
      const bool missing =
          i < wanted.size() && (i >= found.size() || found[i]->table > wanted[i]->table);
      accuse(describe(holder, 0),
             fmt::format("its entry {} in {} is {}", i,
                         missing ? wanted[i]->table->section : found[i]->table->section,
                         missing ? "missing" : "one too many"));
      return;
    }
    found[i]->explained = true;
    const Holder entry{holder.side, holder.part, found[i]->address, wanted[i]->table->section};
    // A last entry that was cut off is written whole.
    if (check_bytes(entry, wanted[i]->bytes, found[i]->bytes.size(), wanted[i]->fields)) {
      check_fields(entry, wanted[i]->fields, found[i]->bytes.size());
      ++proof_.entries;
    }
  }
}

void Meaning::check_rows(const Holder& holder, const Form& form) {
  const auto& wanted = form.rows;
  auto found = tables_.rows_at(holder.address, holder.address + form.size);
  // The end of what lies before it may be marked at its start.
  if (found.size() == wanted.size() + 1 && found[0]->about == holder.address &&
      found[0]->is_end()) {
    found.erase(found.begin());
  }
  const bool same = std::ranges::equal(wanted, found, [&](const Row& a, const auto* b) {
    return holder.address + a.offset == b->about && std::ranges::equal(a.row, b->row);
  });
  if (!same) {
    accuse(describe(holder, 0), "its rows for unwinding (ORC) are others");
    return;
  }
  for (ModuleTables::Row* row : found) {
    row->explained = true;
    ++proof_.entries;
  }
}

}  // namespace suture::prove
