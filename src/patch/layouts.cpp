// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: objects of a type are in memory when the patch comes, made by code that knew the old
// layout. Code that reads them with a new one is wrong, and nothing in its instructions shows it.
//
// Method: compare the types of pre and post by name. A type is the same when its size is, and each
// member's name, place and type are; an enumeration, when every old name keeps its value, but for
// the last one, which often only counts the others. What has no name is compared where a variable
// is of it. Types of pre are also compared with those that
// the shipped kernel states of itself; there only sizes and places count, because another program
// wrote them. A type that goes on under another name is compared with what it was (TypeRenames),
// and so is a new one by which the code reads what lies in private data.
//
// Two things that look harmless are not proved by this, and so refused. A member that gets another
// name at the same place may be another member: whether old objects hold there what the patched
// code takes it for, nothing shows. And objects may be anywhere, also where no variable, parameter
// or member is of the type: an allocation leaves no trace of it.
//
// Invariant: where several types have one name, each of post must be one of pre's.
#include "patch/layouts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "patch/type_renames.h"

namespace suture::patch {

namespace {

using kernel::TypeLayout;
using kernel::TypeMember;
using kernel::TypeTable;

// Every value that may be in memory still has its name.
bool keeps_values(const TypeLayout& before, const TypeLayout& after) {
  return before.size == after.size &&
         std::ranges::all_of(before.members, [&](const TypeMember& member) {
           return &member == &before.members.back() ||
                  std::ranges::find(after.members, member) != after.members.end();
         });
}

std::string_view bare(std::string_view name) { return name.substr(name.find(' ') + 1); }

bool same_meaning(const TypeLayout& before, const TypeLayout& after) {
  return before.is_enumeration ? keeps_values(before, after) : before == after;
}

std::string place_of(const TypeLayout& layout, const TypeMember& member) {
  if (layout.is_enumeration) {
    return fmt::format("{}", static_cast<std::int64_t>(member.offset));
  }
  return member.offset % 8 == 0 ? fmt::format("at byte {}", member.offset / 8)
                                : fmt::format("at bit {}", member.offset);
}

// The first thing that differs, in words.
std::string difference(const TypeLayout& before, const TypeLayout& after) {
  std::string out;
  if (before.size != after.size) {
    out = fmt::format("its size goes from {} to {} bytes; ", before.size, after.size);
  }
  auto find = [](const TypeLayout& layout, const TypeMember& wanted) {
    return std::ranges::find_if(layout.members, [&](const TypeMember& member) {
      return member.name == wanted.name && (!wanted.name.empty() || member == wanted);
    });
  };
  auto called = [](const TypeMember& member) {
    return member.name.empty() ? std::string("an unnamed member") : member.name;
  };
  for (const TypeMember& member : after.members) {
    auto old = find(before, member);
    if (old == before.members.end()) {
      if (after.is_enumeration) {
        continue;  // what it pushes away is what matters
      }
      return out + fmt::format("{} is {} and is new", called(member), place_of(after, member));
    }
    if (old->offset != member.offset) {
      return out + fmt::format("{} is {} and was {}", called(member), place_of(after, member),
                               place_of(before, *old));
    }
    if (old->type != member.type) {
      return out + fmt::format("{} was '{}' and is '{}'", called(member), old->type, member.type);
    }
  }
  for (const TypeMember& member : before.members) {
    if (find(after, member) == after.members.end()) {
      return out + fmt::format("{} is gone", called(member));
    }
  }
  return out + "its members change";
}

Error changed(const TypeLayout& before, const TypeLayout& after, std::string name) {
  return Error{
      Code::layout_changed, std::move(name),
      fmt::format("objects of this type are in memory as the running kernel made them, and the "
                  "patched code would read them in another way: {}",
                  difference(before, after)),
      after.is_enumeration ? "give the new name a value that is not in use yet"
                           : "leave the type as it is and keep what is new in a shadow variable "
                             "(Documentation/livepatch/shadow-vars.rst of the kernel)"};
}

// Enumerations without a name are the same one where they share a name of a value; one side may
// have given it a name.
void compare_unnamed(const TypeTable& pre, const TypeTable& post, const TypeRenames& renames,
                     std::vector<Error>& out) {
  std::vector<std::uint32_t> before = pre.unnamed_enums();
  std::vector<std::uint32_t> after = post.unnamed_enums();
  std::ranges::copy_if(renames.gone(), std::back_inserter(before),
                       [&](std::uint32_t id) { return pre.layout(id).is_enumeration; });
  std::ranges::copy_if(renames.come(), std::back_inserter(after),
                       [&](std::uint32_t id) { return post.layout(id).is_enumeration; });
  std::map<std::string, TypeLayout> by_value;
  for (std::uint32_t id : after) {
    TypeLayout layout = post.layout(id);
    for (const TypeMember& member : layout.members) {
      by_value.emplace(member.name, layout);
    }
  }
  for (std::uint32_t id : before) {
    TypeLayout old = pre.layout(id);
    for (const TypeMember& member : old.members) {
      auto now = by_value.find(member.name);
      if (now == by_value.end()) {
        continue;
      }
      if (!keeps_values(old, now->second)) {
        out.push_back(changed(old, now->second, fmt::format("enum with {}", member.name)));
      }
      break;
    }
  }
}

// A type without a name is known by what is of it. And a variable may get another type as a whole.
void compare_variables(const TypeTable& pre, const TypeTable& post, const TypeRenames& renames,
                       std::vector<Error>& out) {
  const auto before = pre.variables();
  for (const auto& [name, after] : post.variables()) {
    auto old = before.find(name);
    if (old != before.end() && renames.in_new_names(old->second) != after) {
      out.push_back(
          Error{Code::layout_changed, std::string(name),
                fmt::format("the running kernel has '{}' in it, and the patched code would "
                            "read it as '{}'",
                            old->second, after),
                "leave the variable as it is, and give what is new a name of its own"});
    }
  }
}

// What goes on under another name.
void compare_renamed(const TypeTable& pre, const TypeTable& post, const TypeRenames& renames,
                     std::vector<Error>& out) {
  for (const auto& [old, now] : renames.post_of()) {
    const TypeLayout before = pre.layout(old);
    const TypeLayout after = post.layout(now);
    const TypeLayout seen = renames.in_new_names(before);
    if (!same_meaning(seen, after)) {
      out.push_back(
          changed(seen, after, fmt::format("{}, now called {}", before.name, after.name)));
    }
  }
}

// The first type of the name, if the object states one.
std::optional<TypeLayout> layout_called(const TypeTable& table, std::string_view name) {
  for (std::uint32_t id : table.named()) {
    TypeLayout layout = table.layout(id);
    if (layout.name.ends_with(name) && bare(layout.name) == name) {
      return layout;
    }
  }
  return std::nullopt;
}

// It is the same, or nothing but that in a structure of its own.
bool is_or_wraps(const TypeLayout& before, const TypeLayout& after) {
  return before.size == after.size &&
         (before.members == after.members ||
          (after.members.size() == 1 && after.members[0].type == before.name));
}

// A new type by which the code reads what others have put somewhere, by another type.
void compare_readings(const TypeTable& pre, const TypeTable& post, const TypeRenames& renames,
                      const source::TypeNames& names, std::vector<Error>& out) {
  for (const auto& [type, old_type, place] : names.new_readings()) {
    const auto after = layout_called(post, type);
    const auto before = layout_called(pre, old_type);
    if (!after) {
      continue;
    }
    const std::optional<TypeLayout> seen =
        before.transform([&](const TypeLayout& layout) { return renames.in_new_names(layout); });
    // What goes on under another name has been compared.
    if (seen && (seen->name == after->name || is_or_wraps(*seen, *after))) {
      continue;
    }
    out.push_back(Error{
        Code::layout_changed, after->name,
        fmt::format("the patched code takes what it finds in {} for a {}, and the running kernel "
                    "has put {} there",
                    place, after->name, before ? "a " + before->name : "something else"),
        "leave there what was there, and keep what is new in a shadow variable "
        "(Documentation/livepatch/shadow-vars.rst of the kernel)"});
  }
}

}  // namespace

std::vector<Error> changed_layouts(const TypeTable& pre, const TypeTable& post,
                                   const source::TypeNames& names) {
  std::vector<Error> out;
  std::set<std::string> told;
  const TypeRenames renames(pre, post, names);
  for (std::uint32_t id : post.named()) {
    std::vector<std::uint32_t> before = pre.namesakes(post, id);
    TypeLayout after = post.layout(id);
    bool kept = std::ranges::any_of(before, [&](std::uint32_t old) {
      return same_meaning(renames.in_new_names(pre.layout(old)), after);
    });
    if (!before.empty() && !kept && told.insert(after.name).second) {
      out.push_back(changed(renames.in_new_names(pre.layout(before.front())), after, after.name));
    }
  }
  compare_renamed(pre, post, renames, out);
  compare_unnamed(pre, post, renames, out);
  compare_variables(pre, post, renames, out);
  compare_readings(pre, post, renames, names, out);
  return out;
}

std::optional<Error> foreign_layout(const TypeTable& pre,
                                    const std::vector<const TypeTable*>& run) {
  for (std::uint32_t id : pre.named()) {
    std::optional<std::pair<const TypeTable*, std::uint32_t>> other;
    bool same = std::ranges::any_of(run, [&](const TypeTable* table) {
      std::vector<std::uint32_t> theirs = table->namesakes(pre, id);
      if (!theirs.empty()) {
        other.emplace(table, theirs.front());
      }
      return std::ranges::any_of(
          theirs, [&](std::uint32_t its) { return pre.same_places(id, *table, its); });
    });
    if (!other || same) {
      continue;
    }
    TypeLayout ours = pre.layout(id);
    if (ours.is_enumeration) {
      continue;
    }
    return Error{Code::run_pre_mismatch, ours.name,
                 fmt::format("the source lays the type out in another way than the shipped kernel "
                             "says it does: {}",
                             difference(other->first->layout(other->second), ours)),
                 "check the config and the source version against the kernel's"};
  }
  return std::nullopt;
}

}  // namespace suture::patch
