// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: boot code has run as it was before the diff. A function that tests a flag which only new
// boot code sets would never see it set.
//
// Method: the writes of all boot code of a file, before and after: which variable, where in it, by
// what instruction with what constant. A variable with a write that is new must not be read by a
// part that lies in the module; only an author's callback, which names it, may answer for it.
//
// Invariant: a write is an instruction that names the variable. What boot code does through
// pointers or by calling others is not judged here.
#include "prove/left_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace suture::prove {

namespace {

using Writes = std::map<std::int32_t, std::set<std::string>>;  // by part of post, or of pre

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

class LeftOut {
 public:
  LeftOut(Meaning& meaning, const Side& side, std::size_t index)
      : meaning_(meaning), side_(side), index_(index) {}

  void run() {
    const Writes before = writes(side_.pre);
    const Writes after = writes(side_.post);
    const std::set<std::int32_t> answered_for = named_by_callbacks();
    std::set<std::int32_t> missed;
    for (const auto& [variable, effects] : after) {
      const auto old = before.find(side_.pairing.pre(variable));
      const bool same = old != before.end() && std::ranges::includes(old->second, effects);
      if (!same && !answered_for.contains(variable)) {
        missed.insert(variable);
      }
    }
    for (const auto& [place, address] : meaning_.placed()) {
      if (place.first == index_ && !missed.empty()) {
        check(place.second, missed);
      }
    }
  }

 private:
  static Writes writes(const Read& read) {
    Writes out;
    const Object& object = read.object;
    for (std::size_t i = 0; i < object.parts().size(); ++i) {
      const Part& part = object.parts()[i];
      const std::string& section = object.section_of(part).name;
      if (!is_boot_only(section) || is_exit(section)) {
        continue;
      }
      for (const Field& field : read.fields[i]) {
        if (field.target.part < 0 || !is_state(object, object.part(field.target.part))) {
          continue;
        }
        if (std::string words = effect(object, part, field); !words.empty()) {
          out[field.target.part].insert(std::move(words));
        }
      }
    }
    return out;
  }

  static bool is_state(const Object& object, const Part& part) {
    return part.kind == PartKind::data && is_writable(object, part) && !object.name(part).empty() &&
           !is_boot_only(object.section_of(part).name) && !is_copy_as_good(object, part) &&
           !serves_anew(unnumbered(object.name(part)));
  }

  // By the callbacks, and what they call.
  std::set<std::int32_t> named_by_callbacks() const {
    std::set<std::int32_t> named;
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
        if (field.target.part >= 0) {
          named.insert(field.target.part);
          if (field.branch) {
            work.push_back(field.target.part);
          }
        }
      }
    }
    return named;
  }

  void check(std::int32_t part, const std::set<std::int32_t>& missed) {
    const Object& object = side_.post.object;
    std::vector<Field> fields = side_.post.fields_of(part);
    const std::size_t own = fields.size();
    for (const Entry& entry : side_.post.tables.entries[static_cast<std::size_t>(part)]) {
      fields.insert(fields.end(), entry.fields.begin(), entry.fields.end());
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const bool only_written =
          i < own && effect(object, object.part(part), fields[i]).starts_with("mov ");
      if (missed.contains(fields[i].target.part) && !only_written) {
        meaning_.accuse(
            fmt::format("{}: {}", side_.unit->source, object.name(object.part(part))),
            fmt::format("it reads {}, which boot code that is left out would have written",
                        object.name(object.part(fields[i].target.part))));
        return;
      }
    }
  }

  Meaning& meaning_;
  const Side& side_;
  const std::size_t index_;
};

}  // namespace

void check_left_out(Meaning& meaning, const std::deque<Side>& sides) {
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (sides[i].unit != nullptr) {
      LeftOut(meaning, sides[i], i).run();
    }
  }
}

}  // namespace suture::prove
