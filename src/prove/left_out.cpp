// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: boot code has run as it was before the diff. A function that tests a flag which only new
// boot code sets would never see it set.
//
// Method: the writes of all boot code of a file, before and after: which variable, where in it, by
// what instruction with what constant. A variable with a write that is new must not be read by a
// part that lies in the module, of this file or, where they share it by its name, of another; only
// an author's callback, which names it, may answer for it.
//
// Invariant: a write is an instruction that names the variable. What boot code does through
// pointers or by calling others is not judged here.
#include "prove/left_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "prove/boot_parts.h"

namespace suture::prove {

namespace {

// A part of one side, or what another file defines, by its name.
struct Variable {
  std::int32_t part = -1;
  std::string_view outside;
  auto operator<=>(const Variable&) const = default;
};
using Variables = std::set<Variable>;
using Writes = std::map<Variable, std::set<std::string>>;
using Names = std::set<std::string_view>;

bool is_state(const Object& object, const Part& part) {
  return part.kind == PartKind::data && is_writable(object, part) && !object.name(part).empty() &&
         !is_boot_only(object.section_of(part).name) && !is_copy_as_good(object, part) &&
         !serves_anew(unnumbered(object.name(part)));
}

std::optional<Variable> variable_of(const Object& object, const Field& field) {
  if (field.branch || field.target.merged != 0) {
    return std::nullopt;
  }
  if (field.target.part < 0) {
    return Variable{.outside = object.elf().symbols()[field.target.symbol].name};
  }
  return is_state(object, object.part(field.target.part))
             ? std::optional(Variable{.part = field.target.part})
             : std::nullopt;
}

// As other files of its object know it; empty for what is its file's own.
std::string_view shared_name(const Object& object, const Variable& variable) {
  if (variable.part < 0) {
    return variable.outside;
  }
  const Part& part = object.part(variable.part);
  return object.global(part) ? object.name(part) : std::string_view{};
}

// What the instruction that holds the field does to memory; empty where it does not write there.
std::string effect(const Object& object, const Part& part, const Field& field) {
  if (part.kind != PartKind::code || field.branch || field.address) {
    return {};
  }
  const ByteView code = object.bytes(part);
  for (const elf::Instruction& insn : object.arch().decode(code)) {
    if (field.offset < std::uint64_t{insn.offset} + insn.length) {
      const std::string words = object.arch().memory_effect(code.subspan(insn.offset, insn.length));
      return words.empty() ? words : fmt::format("{} at {}", words, field.target.offset);
    }
  }
  return {};
}

// What boot code of one file would have written, and its callbacks do not answer for.
class LeftOut {
 public:
  // `before_parts` and `after_parts` are those that are boot code without a mark.
  LeftOut(const Side& side, const std::set<std::int32_t>& before_parts,
          const std::set<std::int32_t>& after_parts)
      : side_(side) {
    const Writes before = writes(side_.pre, before_parts);
    const Variables answered_for = named_by_callbacks();
    for (const auto& [variable, effects] : writes(side_.post, after_parts)) {
      const auto old =
          before.find(Variable{.part = variable.part < 0 ? -1 : side_.pairing.pre(variable.part),
                               .outside = variable.outside});
      const bool same = old != before.end() && std::ranges::includes(old->second, effects);
      if (!same && !answered_for.contains(variable)) {
        missed_.insert(variable);
      }
    }
  }

  const Variables& missed() const { return missed_; }
  Names missed_names() const {
    Names out;
    for (const Variable& variable : missed_) {
      out.insert(shared_name(side_.post.object, variable));
    }
    out.erase(std::string_view{});
    return out;
  }

 private:
  static Writes writes(const Read& read, const std::set<std::int32_t>& unmarked) {
    Writes out;
    const Object& object = read.object;
    for (std::size_t i = 0; i < object.parts().size(); ++i) {
      const Part& part = object.parts()[i];
      const std::string& section = object.section_of(part).name;
      if ((!is_boot_only(section) || is_exit(section)) &&
          !unmarked.contains(static_cast<std::int32_t>(i))) {
        continue;
      }
      for (const Field& field : read.fields[i]) {
        const auto variable = variable_of(object, field);
        std::string words = variable ? effect(object, part, field) : std::string{};
        if (!words.empty()) {
          out[*variable].insert(std::move(words));
        }
      }
    }
    return out;
  }

  // By the callbacks, and what they call.
  Variables named_by_callbacks() const {
    Variables named;
    std::set<std::int32_t> seen;
    std::vector<std::int32_t> work;
    for (const auto& [kind, part] : side_.word.callbacks) {
      work.push_back(part);
    }
    while (!work.empty()) {
      const std::int32_t part = work.back();
      work.pop_back();
      if (!seen.insert(part).second) {
        continue;
      }
      for (const Field& field : side_.post.fields_of(part)) {
        if (const auto variable = variable_of(side_.post.object, field)) {
          named.insert(*variable);
        } else if (field.branch && field.target.part >= 0) {
          work.push_back(field.target.part);
        }
      }
    }
    return named;
  }

  const Side& side_;
  Variables missed_;
};

// What lies in the module must not read what one file's boot code would have written.
class Readers {
 public:
  Readers(Meaning& meaning, const Side& side, std::size_t index)
      : meaning_(meaning), side_(side), index_(index) {}

  // `missed` are variables of this side, `names` those of another, of this object or of vmlinux.
  void check(const Variables& missed, const Names& names, bool same_object) {
    if (missed.empty() && names.empty()) {
      return;
    }
    for (const auto& [place, address] : meaning_.placed()) {
      if (place.first == index_) {
        check(place.second, [&](const Variable& variable) {
          return missed.contains(variable) ||
                 ((same_object || variable.part < 0) &&
                  names.contains(shared_name(side_.post.object, variable)));
        });
      }
    }
  }

 private:
  template <class IsMissed>
  void check(std::int32_t part, const IsMissed& is_missed) {
    const Object& object = side_.post.object;
    std::vector<Field> fields = side_.post.fields_of(part);
    const std::size_t own = fields.size();
    for (const Entry& entry : side_.post.tables.entries[static_cast<std::size_t>(part)]) {
      fields.insert(fields.end(), entry.fields.begin(), entry.fields.end());
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto variable = variable_of(object, fields[i]);
      if (!variable || !is_missed(*variable) ||
          (i < own && effect(object, object.part(part), fields[i]).starts_with("mov "))) {
        continue;
      }
      meaning_.accuse(
          fmt::format("{}: {}", side_.unit->source, object.name(object.part(part))),
          fmt::format(
              "it reads {}, which boot code that is left out would have written",
              variable->part < 0 ? variable->outside : object.name(object.part(variable->part))));
      return;
    }
  }

  Meaning& meaning_;
  const Side& side_;
  const std::size_t index_;
};

}  // namespace

void check_left_out(Meaning& meaning, const std::deque<Side>& sides) {
  const auto before = unmarked_boot_parts(sides, false);
  const auto after = unmarked_boot_parts(sides, true);
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (sides[i].unit == nullptr) {
      continue;
    }
    const LeftOut left_out(sides[i], before[i], after[i]);
    Readers(meaning, sides[i], i).check(left_out.missed(), {}, true);
    const Names names = left_out.missed_names();
    const std::string_view home = sides[i].unit->object;
    for (std::size_t j = 0; j < sides.size(); ++j) {
      // Nobody else sees a module's names.
      if (j != i && sides[j].unit != nullptr &&
          (home == "vmlinux" || home == sides[j].unit->object)) {
        Readers(meaning, sides[j], j).check({}, names, home == sides[j].unit->object);
      }
    }
  }
}

}  // namespace suture::prove
