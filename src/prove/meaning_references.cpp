// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a field of the module must lead to what post's field means, and one thing may be had
// under many names, in the module and in what runs.
//
// Method: what post's field means is one of five things: a text or constant, a part of the same
// file that is new or changed, one that runs, what another file of the patch defines, or what the
// kernel has. Each says which address must stand in the field, or which further pair it makes.
//
// Invariant: where no address can be told, the field is accused.
#include <fmt/format.h>

#include <algorithm>

#include "prove/meaning.h"

namespace suture::prove {

namespace {

constexpr std::string_view patch_symbol = "suture_patch";

bool exports(const Side& side, std::string_view name) {
  return std::ranges::any_of(side.post.object.elf().symbols(), [&](const elf::Symbol& symbol) {
    return symbol.defined() && (symbol.name == fmt::format("__ksymtab_{}", name) ||
                                symbol.name == fmt::format("__export_symbol_{}", name));
  });
}

}  // namespace

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
  const std::string_view name = side.symbol_name(key.symbol);
  if (const auto meant = definition(side, name); meant && is_new(*meant)) {
    return false;
  }
  const auto address = undefined_at(side, name);
  return address && *address && running_.image().section_at(**address) == nullptr;
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
  const std::string_view name = side.symbol_name(field.target.symbol);
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
  // Pointers to functions outlive the patch, and are compared with others. Nobody calls a .cold
  // part: its address is a label's, which the function itself goes to.
  const bool taken = holder.table.empty() && !field.branch && field.target.offset == 0 &&
                     split_from(side.post.object.name(part)).empty();
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

}  // namespace suture::prove
