// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a type is known by its name. A diff that renames one and lays it out anew in one go
// seems to drop a type and to add another.
//
// Method: take the types that only pre states and that the diff's files define: objects state what
// their code uses, so others may just be used no more. One goes on as a type that only post states
// if most of their members have the same names; and as any type that some declaration names now
// where it named the old one. Where several fit, the best pair first. An enumerator's name is a
// file's only one, so one that two enumerations share suffices.
//
// Invariant: each old type has one partner at the most. Where nothing of the members is the same,
// only the code that names them tells; then they are taken for one type, since code that is handed
// an old object will read it as a new one.
#include "patch/type_renames.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

namespace suture::patch {

namespace {

using kernel::TypeLayout;
using kernel::TypeMember;
using kernel::TypeTable;

std::string_view bare(std::string_view name) { return name.substr(name.find(' ') + 1); }

// Those of the types that have a name here which have, or have not, the same name there.
std::vector<TypeRenames::Candidate> named_in(const TypeTable& here, const TypeTable& there,
                                             bool there_too) {
  std::vector<TypeRenames::Candidate> out;
  for (std::uint32_t id : here.named()) {
    if (there.namesakes(here, id).empty() != there_too) {
      out.push_back({id, here.layout(id)});
    }
  }
  return out;
}

std::size_t shared_members(const TypeLayout& before, const TypeLayout& after) {
  return static_cast<std::size_t>(std::ranges::count_if(before.members, [&](const TypeMember& old) {
    return std::ranges::any_of(after.members, [&](const TypeMember& now) {
      return old.name == now.name && (!old.name.empty() || old.type == now.type);
    });
  }));
}

// Of two enumerations.
std::size_t shared_values(const TypeLayout& before, const TypeLayout& after) {
  return before.is_enumeration && after.is_enumeration ? shared_members(before, after) : 0;
}

// Nothing where the one does not fit the other.
std::optional<TypeRenames::Fit> fit(const TypeLayout& before, const TypeLayout& after,
                                    const source::TypeNames::Names& instead, bool is_new) {
  if (before.is_enumeration != after.is_enumeration) {
    return std::nullopt;
  }
  const std::size_t shared = shared_members(before, after);
  // "struct x" and "typedef x" are two names, too.
  const bool in_its_place =
      instead.contains(bare(after.name)) || bare(before.name) == bare(after.name);
  const bool most =
      2 * shared > before.members.size() || (shared > 1 && 2 * shared > after.members.size());
  if (!in_its_place && !(is_new && most)) {
    return std::nullopt;
  }
  return TypeRenames::Fit{shared, in_its_place, before.size == after.size};
}

bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

}  // namespace

TypeRenames::TypeRenames(const TypeTable& pre, const TypeTable& post,
                         const source::TypeNames& names) {
  const std::vector<Candidate> gone = named_in(pre, post, false);
  const std::vector<Candidate> come = named_in(post, pre, false);
  std::optional<std::vector<Candidate>> stay;
  std::vector<Pair> pairs;
  for (const Candidate& old : gone) {
    for (const Candidate& now : come) {
      if (const std::size_t shared = shared_values(old.layout, now.layout); shared > 0) {
        pairs.push_back({Fit{shared, true, true}, &old, &now});
      }
    }
    const std::string_view name = bare(old.layout.name);
    if (!names.defined_before(name)) {
      continue;
    }
    const auto instead = old.layout.name.starts_with("typedef ") ? names.in_place_of_typedef(name)
                                                                 : names.in_place_of(name);
    auto look_at = [&](const std::vector<Candidate>& all, bool are_new) {
      for (const Candidate& now : all) {
        if (auto found = fit(old.layout, now.layout, instead, are_new)) {
          pairs.push_back({*found, &old, &now});
        }
      }
    };
    look_at(come, true);
    if (!instead.empty()) {
      stay = stay ? std::move(stay) : named_in(post, pre, true);
      look_at(*stay, false);
    }
  }
  settle(std::move(pairs));
  auto left = [](const std::vector<Candidate>& all, const auto& is_settled) {
    std::vector<std::uint32_t> out;
    for (const Candidate& one : all) {
      if (!is_settled(one.id)) {
        out.push_back(one.id);
      }
    }
    return out;
  };
  gone_ = left(gone, [&](std::uint32_t id) { return post_of_.contains(id); });
  come_ = left(come, [&](std::uint32_t id) {
    return std::ranges::any_of(post_of_, [&](const auto& pair) { return pair.second == id; });
  });
}

// Code may put one type in the place of several.
void TypeRenames::settle(std::vector<Pair> pairs) {
  std::ranges::stable_sort(pairs, std::ranges::greater{}, &Pair::fit);
  std::set<const Candidate*> taken;
  for (const Pair& pair : pairs) {
    const bool in_its_place = std::get<1>(pair.fit);
    if (!taken.contains(pair.old) && (in_its_place || !taken.contains(pair.now))) {
      taken.insert({pair.old, pair.now});
      post_of_.emplace(pair.old->id, pair.now->id);
      names_.emplace(pair.old->layout.name, pair.now->layout.name);
    }
  }
}

std::string TypeRenames::in_new_names(std::string description) const {
  for (const auto& [old, now] : names_) {
    for (std::size_t at = description.find(old); at != std::string::npos;
         at = description.find(old, at)) {
      const std::size_t end = at + old.size();
      if ((at > 0 && is_name_char(description[at - 1])) ||
          (end < description.size() && is_name_char(description[end]))) {
        at = end;
        continue;
      }
      description.replace(at, old.size(), now);
      at += now.size();
    }
  }
  return description;
}

TypeLayout TypeRenames::in_new_names(TypeLayout layout) const {
  if (!names_.empty()) {
    layout.name = in_new_names(std::move(layout.name));
    for (TypeMember& member : layout.members) {
      member.type = in_new_names(std::move(member.type));
    }
  }
  return layout;
}

}  // namespace suture::patch
