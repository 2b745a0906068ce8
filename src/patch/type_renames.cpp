// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a type is known by its name. A diff that renames one and lays it out anew in one go
// seems to drop a type and to add another.
//
// Method: take the types that only pre states and those that only post states. Objects state what
// their code uses, so both must be the diff's own: the old one is defined in its files, the new one
// in none of them before. One goes on as the other if most of their members have the same names, or
// if some declaration names the one where it named the other. Where several fit, the best pair
// first. An enumerator's name is a file's only one, so one that two enumerations share suffices.
//
// Invariant: each type has one partner at the most. Where nothing of the members is the same, only
// the code that names them tells; then they are taken for one type, since code that is handed an
// old object will read it as a new one.
#include "patch/type_renames.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

namespace suture::patch {

namespace {

using kernel::TypeLayout;
using kernel::TypeMember;
using kernel::TypeTable;

std::string_view bare(std::string_view name) { return name.substr(name.find(' ') + 1); }

struct Candidate {
  std::uint32_t id = 0;
  TypeLayout layout;
};

std::vector<Candidate> only_in(const TypeTable& here, const TypeTable& there) {
  std::vector<Candidate> out;
  for (std::uint32_t id : here.named()) {
    if (there.namesakes(here, id).empty()) {
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

// How well the one fits the other, more is better; nothing where it does not.
using Fit = std::tuple<std::size_t, bool, bool>;
std::optional<Fit> fit(const TypeLayout& before, const TypeLayout& after,
                       const source::TypeNames& names) {
  const std::size_t shared = shared_members(before, after);
  if (before.is_enumeration != after.is_enumeration) {
    return std::nullopt;
  }
  const std::string_view old = bare(before.name);
  const std::string_view now = bare(after.name);
  if (before.is_enumeration && shared > 0) {
    return Fit{shared, true, true};
  }
  // "struct x" and "typedef x" are two names, too.
  const bool same_word = old == now;
  if (!names.defined_before(old) || (!same_word && !names.is_new(now))) {
    return std::nullopt;
  }
  const bool in_its_place = same_word || names.takes_the_place(now, old);
  const bool most =
      2 * shared > before.members.size() || (shared > 1 && 2 * shared > after.members.size());
  if (!in_its_place && !most) {
    return std::nullopt;
  }
  return Fit{shared, in_its_place, before.size == after.size};
}

bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

}  // namespace

TypeRenames::TypeRenames(const TypeTable& pre, const TypeTable& post,
                         const source::TypeNames& names) {
  const std::vector<Candidate> gone = only_in(pre, post);
  const std::vector<Candidate> come = only_in(post, pre);
  std::vector<std::tuple<Fit, const Candidate*, const Candidate*>> pairs;
  for (const Candidate& old : gone) {
    for (const Candidate& now : come) {
      if (auto found = fit(old.layout, now.layout, names)) {
        pairs.emplace_back(*found, &old, &now);
      }
    }
  }
  std::ranges::stable_sort(
      pairs, [](const auto& a, const auto& b) { return std::get<0>(a) > std::get<0>(b); });
  std::set<const Candidate*> taken;
  for (const auto& [found, old, now] : pairs) {
    if (!taken.contains(old) && !taken.contains(now)) {
      taken.insert({old, now});
      pre_of_.emplace(now->id, old->id);
      names_.emplace(old->layout.name, now->layout.name);
    }
  }
  auto left = [&](const std::vector<Candidate>& all, std::vector<std::uint32_t>& out) {
    for (const Candidate& one : all) {
      if (!taken.contains(&one)) {
        out.push_back(one.id);
      }
    }
  };
  left(gone, gone_);
  left(come, come_);
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
