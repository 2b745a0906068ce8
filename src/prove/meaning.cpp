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

constexpr std::string_view patch_symbol = "suture_patch";
constexpr std::string_view module_symbol = "__this_module";

std::string_view symbol_name(const Side& side, std::uint32_t symbol) {
  return side.post.object.elf().symbols()[symbol].name;
}

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
                              : std::string(symbol_name(side, target.symbol));
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

// The key belongs to a module, and is none that the patch adds.
bool Meaning::is_late(std::size_t number, const Target& key) {
  const Side& side = sides_[number];
  if (side.unit == nullptr || side.unit->object == "vmlinux") {
    return false;
  }
  if (key.part >= 0) {
    return !is_new({number, key.part}) &&
           !is_copy_as_good(side.post.object, side.post.object.part(key.part));
  }
  const std::string_view name = symbol_name(side, key.symbol);
  if (const auto meant = definition(side, name); meant && is_new(*meant)) {
    return false;
  }
  const auto address = undefined_at(side, name);
  return address && *address && running_.image().section_at(**address) == nullptr;
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

void Meaning::check_field(const Holder& holder, const Field& field) {
  const std::size_t before = proof_.accusations.size();
  const auto value = value_at(holder.address + field.offset, field.kind);
  const std::uint64_t points_at = *value + static_cast<std::uint64_t>(field.bias);
  const std::uint64_t start = points_at - static_cast<std::uint64_t>(field.target.offset);
  if (field.target.merged != 0) {
    check_content(holder, field, points_at);
  } else if (field.target.part >= 0) {
    check_part(holder, field, start);
  } else {
    check_undefined(holder, field, start);
  }
  if (proof_.accusations.size() == before) {
    ++proof_.references;
  }
}

void Meaning::check_content(const Holder& holder, const Field& field, std::uint64_t points_at) {
  const auto wanted =
      sides_[holder.side].post.object.content(field.target.merged, field.target.offset);
  if (!wanted) {
    accuse(describe(holder, field.offset), "it points past the strings and constants of its file");
    return;
  }
  const std::uint64_t start = points_at - wanted->inside;
  auto found = patch_.at(start, wanted->bytes.size());
  if (!found || !std::ranges::equal(*found, wanted->bytes)) {
    accuse(describe(holder, field.offset),
           fmt::format("it should point at the text or constant {}, and points at {}",
                       describe(sides_[holder.side], field.target), describe_address(points_at)));
    return;
  }
  contents_.emplace_back(start, wanted->bytes.size());
}

namespace {

bool exports(const Side& side, std::string_view name) {
  return std::ranges::any_of(side.post.object.elf().symbols(), [&](const elf::Symbol& symbol) {
    return symbol.defined() && (symbol.name == fmt::format("__ksymtab_{}", name) ||
                                symbol.name == fmt::format("__export_symbol_{}", name));
  });
}

}  // namespace

// A file of the same object has it, or one of vmlinux that exports it.
std::optional<Place> Meaning::definition(const Side& from, std::string_view name) const {
  if (auto own = linkage_.definition(from.unit->object, name)) {
    return own;
  }
  auto exported = linkage_.definition("vmlinux", name);
  return exported && exports(sides_[exported->first], name) ? exported : std::nullopt;
}

bool Meaning::is_new(Place post) const {
  return sides_[post.first].pairing.pre(post.second) < 0 && linkage_.ancestor(post) == nullptr;
}

// Where that runs which the part of post goes on as.
std::optional<std::uint64_t> Meaning::ancestor_at(Place post) {
  const Linkage::Ancestor* ancestor = linkage_.ancestor(post);
  if (ancestor == nullptr) {
    return std::nullopt;
  }
  return ancestor->pre ? run_address(sides_[ancestor->pre->first], ancestor->pre->second)
                       : std::optional(ancestor->address);
}

// A variable that moves is the one that runs; it must begin as it did.
bool Meaning::same_contents(Place pre, Place post) const {
  const Read& from = sides_[pre.first].pre;
  const Read& to = sides_[post.first].post;
  const Part& a = from.object.part(pre.second);
  const Part& b = to.object.part(post.second);
  Bytes x(a.size, 0);
  Bytes y(b.size, 0);
  std::ranges::copy(from.object.bytes(a), x.begin());
  std::ranges::copy(to.object.bytes(b), y.begin());
  return x == y && is_writable(from.object, a) == is_writable(to.object, b) &&
         std::ranges::equal(from.fields_of(pre.second), to.fields_of(post.second),
                            [&](const Field& f, const Field& g) {
                              return f.offset == g.offset && f.kind.size == g.kind.size &&
                                     same_target(pre, f.target, post, g.target);
                            });
}

bool Meaning::same_target(Place pre, const Target& x, Place post, const Target& y) const {
  const Read& from = sides_[pre.first].pre;
  const Read& to = sides_[post.first].post;
  if (x.merged != 0 || y.merged != 0) {
    const auto a = x.merged == 0 ? std::nullopt : from.object.content(x.merged, x.offset);
    const auto b = y.merged == 0 ? std::nullopt : to.object.content(y.merged, y.offset);
    return a && b && a->inside == b->inside && std::ranges::equal(a->bytes, b->bytes);
  }
  if (x.offset != y.offset) {
    return false;
  }
  const Linkage::Ancestor* ancestor =
      y.part < 0 ? nullptr : linkage_.ancestor({post.first, y.part});
  if (x.part >= 0 && ancestor != nullptr && ancestor->pre == Place(pre.first, x.part)) {
    return true;
  }
  auto name = [](const Object& object, const Target& target) {
    const bool own = target.part >= 0 && !object.global(object.part(target.part));
    return own                ? std::string_view{}
           : target.part >= 0 ? object.name(object.part(target.part))
                              : object.elf().symbols()[target.symbol].name;
  };
  return !name(from.object, x).empty() && name(from.object, x) == name(to.object, y);
}

// What the unit means by a name that it does not define and that is none of the patch's.
Result<std::optional<std::uint64_t>> Meaning::undefined_at(const Side& side,
                                                           std::string_view name) {
  if (side.unit == nullptr) {
    return running_.undefined("vmlinux", name);
  }
  auto known = side.unit->undefined.find(name);
  if (known == side.unit->undefined.end()) {
    return running_.undefined(side.unit->object, name);
  }
  return TRY(running_.address(side.unit->object, known->second));
}

void Meaning::check_undefined(const Holder& holder, const Field& field, std::uint64_t symbol_at) {
  Side& side = sides_[holder.side];
  const std::string_view name = symbol_name(side, field.target.symbol);
  const std::string where = describe(holder, field.offset);
  if (name == patch_symbol) {
    if (side.unit == nullptr) {
      patch_address_ = symbol_at;
    } else if (symbol_at != patch_address_) {
      accuse(where, fmt::format("it should point at the patch, and points at {}",
                                describe_address(symbol_at)));
    }
    return;
  }
  if (side.unit != nullptr) {
    if (auto own = definition(side, name)) {
      check_definition(holder, field, *own, symbol_at);
      return;
    }
  }
  const auto meant = undefined_at(side, name);
  if (!meant || !*meant) {
    accuse(where, fmt::format("which {} is meant cannot be told{}", name,
                              meant ? "" : ": " + meant.error().reason));
  } else if (**meant != symbol_at) {
    accuse(where, fmt::format("it should point at {}, and points at {}",
                              describe(side, field.target), describe_address(symbol_at)));
  }
}

// What another file of the patch defines is new, and lies in the module, or runs.
void Meaning::check_definition(const Holder& holder, const Field& field, Place meant,
                               std::uint64_t symbol_at) {
  if (is_new(meant)) {
    expect(meant.first, meant.second, symbol_at);
    return;
  }
  Side& of = sides_[meant.first];
  const std::int32_t before = of.pairing.pre(meant.second);
  const auto where = before < 0 ? ancestor_at(meant) : run_address(of, before);
  if (where != symbol_at) {
    accuse(describe(holder, field.offset),
           fmt::format("it should point at {} of {}, and points at {}",
                       describe(sides_[holder.side], field.target), of.unit->object,
                       describe_address(symbol_at)));
  }
}

void Meaning::check_part(const Holder& holder, const Field& field, std::uint64_t part_at) {
  if (patch_.contains(part_at)) {
    check_inside(holder, field, part_at);
  } else {
    check_outside(holder, field, part_at);
  }
}

void Meaning::check_inside(const Holder& holder, const Field& field, std::uint64_t part_at) {
  const Side& side = sides_[holder.side];
  const std::int32_t index = field.target.part;
  const Part& part = side.post.object.part(index);
  const bool kept = !is_new({holder.side, index}) && !is_copy_as_good(side.post.object, part);
  const bool is_data = part.kind == PartKind::data;
  if (kept && is_data &&
      (is_writable(side.post.object, part) ||
       !side.changes.differs[static_cast<std::size_t>(index)])) {
    accuse(describe(holder, field.offset),
           fmt::format("it uses a second {}, though the running kernel has it",
                       describe(side, field.target)));
    return;
  }
  // Pointers to functions outlive the patch, and are compared with others.
  const bool taken = holder.table.empty() && !field.branch && field.target.offset == 0;
  if (kept && !is_data && taken) {
    accuse(describe(holder, field.offset),
           fmt::format("it takes the address of the new {}, where the original's is meant",
                       describe(side, field.target)));
    return;
  }
  expect(holder.side, index, part_at);
}

void Meaning::check_outside(const Holder& holder, const Field& field, std::uint64_t part_at) {
  Side& side = sides_[holder.side];
  const std::int32_t index = field.target.part;
  const Part& part = side.post.object.part(index);
  const std::string where = describe(holder, field.offset);
  const std::string name = describe(side, field.target);
  const std::int32_t before = side.pairing.pre(index);
  if (is_copy_as_good(side.post.object, part)) {
    accuse(where, fmt::format("it should point at the module's {}, and points at {}", name,
                              describe_address(part_at)));
    return;
  }
  if (const Linkage::Ancestor* ancestor = linkage_.ancestor({holder.side, index})) {
    if (ancestor_at({holder.side, index}) != part_at ||
        (ancestor->pre && part.kind == PartKind::data &&
         !same_contents(*ancestor->pre, {holder.side, index}))) {
      accuse(where, fmt::format("it should point at what runs as {}, and points at {}", name,
                                describe_address(part_at)));
    }
    return;
  }
  if (before < 0) {
    if (!adopt(side, index, part_at)) {
      accuse(where, fmt::format("it should point at the new {}, and points at {}", name,
                                describe_address(part_at)));
    }
    return;
  }
  const auto slot = static_cast<std::size_t>(index);
  const bool by_entry = side.redirected.contains(index) && field.target.offset == 0;
  if (part.kind != PartKind::data && !holder.table.empty()) {
    accuse(where, fmt::format("it should be about the module's {}, and is about {}", name,
                              describe_address(part_at)));
  } else if (part.kind == PartKind::data ? side.changes.differs[slot]
                                         : side.changes.stale[slot] && !by_entry) {
    accuse(where, fmt::format("it uses the running kernel's {}, which changes", name));
  } else if (auto meant = run_address(side, before); !meant) {
    accuse(where, fmt::format("where the running kernel has {} cannot be told", name));
  } else if (*meant != part_at) {
    accuse(where,
           fmt::format("it should point at {}, and points at {}", name, describe_address(part_at)));
  }
}

// A static local that nothing else told apart is the one that the running code has there, if no
// other could be meant.
bool Meaning::adopt(Side& side, std::int32_t index, std::uint64_t address) {
  const Part& part = side.post.object.part(index);
  const std::string_view base = unnumbered(side.post.object.name(part));
  std::vector<std::int32_t> free;
  for (std::size_t i = 0; i < side.pre.object.parts().size(); ++i) {
    const Part& other = side.pre.object.parts()[i];
    if (side.pairing.post_of[i] < 0 && other.kind == part.kind && other.size == part.size &&
        is_numbered(side.pre.object.name(other)) &&
        unnumbered(side.pre.object.name(other)) == base) {
      free.push_back(static_cast<std::int32_t>(i));
    }
  }
  for (std::int32_t candidate : free) {
    if ((free.size() == 1 || serves_anew(base)) && run_address(side, candidate) == address) {
      side.pairing.pre_of[static_cast<std::size_t>(index)] = candidate;
      side.pairing.post_of[static_cast<std::size_t>(candidate)] = index;
      return true;
    }
  }
  return false;
}

std::optional<std::uint64_t> Meaning::run_address(Side& side, std::int32_t pre_part) {
  auto [it, fresh] = run_addresses_.try_emplace({&side, pre_part}, std::nullopt);
  if (!fresh || side.unit == nullptr) {
    return it->second;
  }
  const Part& part = side.pre.object.part(pre_part);
  for (std::uint32_t symbol : part.symbols) {
    if (auto known = side.unit->defined.find(symbol); known != side.unit->defined.end()) {
      if (auto address = running_.address(side.unit->object, known->second)) {
        return it->second = *address;
      }
    }
  }
  for (std::uint32_t symbol : part.symbols) {
    const std::string_view name = side.pre.object.elf().symbols()[symbol].name;
    const bool global = side.pre.object.elf().symbols()[symbol].binding != STB_LOCAL;
    auto address = is_numbered(name) ? std::nullopt : running_.own(side.unit->object, name, global);
    if (address && *address) {
      it->second = *address;
      break;
    }
  }
  return it->second;
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
