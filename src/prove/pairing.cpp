// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a name means the same thing before and after, but for the numbers that the compiler
// gives to static locals and clones.
//
// Method: names without a number pair at once, a clone where one of its kind is left on both sides.
// Assembly's functions with a counter in their names pair in their order, where all are alike.
// Static locals are paired by their users: code that is the same on both sides names the same ones
// in the same order; in other code one pairs that is alone of its name, or alone of its size and
// contents; a paired static local is a user as code is; last, one that is alone of its name in the
// whole object and keeps a user. Keys of what is done once go with what they have filled (fills.h).
//
// Invariants: one to one; never across storage (boot-only, per-CPU); what stays unpaired is new.
#include "prove/pairing.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "prove/fills.h"

namespace suture::prove {

namespace {

using Parts = std::vector<std::int32_t>;

// The source's function that a part was compiled from: "f" of "f.isra.0.cold".
std::string_view family(std::string_view name) { return name.substr(0, name.find('.', 1)); }

class Pairer {
 public:
  Pairer(const Read& pre, const Read& post)
      : pre_(pre), post_(post), old_fills_(fills_of(pre)), fills_(fills_of(post)) {
    out_.pre_of.resize(post.object.parts().size(), -1);
    out_.post_of.resize(pre.object.parts().size(), -1);
  }

  Pairing run() {
    by_name(true);
    by_name(false);
    by_counter();
    by_clone();
    const Families before = families(pre_);
    const Families after = families(post_);
    for (bool same_code : {true, false}) {
      for (const auto& [key, parts] : after) {
        if (auto it = before.find(key); it != before.end()) {
          by_user(it->second, parts, same_code);
        }
      }
      by_local();
    }
    by_what_is_left(before, after);
    by_what_is_filled(before, after);
    return std::move(out_);
  }

 private:
  using Fills = std::map<std::int32_t, Fill>;
  using Families = std::map<std::pair<PartKind, std::string_view>, Parts>;

  const Part& before(std::int32_t part) const { return pre_.object.part(part); }
  const Part& after(std::int32_t part) const { return post_.object.part(part); }

  void pair(std::int32_t pre, std::int32_t post) {
    std::int32_t& there = out_.pre_of[static_cast<std::size_t>(post)];
    std::int32_t& back = out_.post_of[static_cast<std::size_t>(pre)];
    const std::string& from = pre_.object.section_of(before(pre)).name;
    const std::string& to = post_.object.section_of(after(post)).name;
    constexpr std::string_view per_cpu = ".data..percpu";
    if (there < 0 && back < 0 && before(pre).kind == after(post).kind &&
        is_boot_only(from) == is_boot_only(to) &&
        from.starts_with(per_cpu) == to.starts_with(per_cpu)) {
      there = pre;
      back = post;
    }
  }

  static std::map<std::string_view, std::int32_t> names(const Object& object, bool first_only) {
    std::map<std::string_view, std::int32_t> out;
    std::set<std::string_view> twice;
    for (std::size_t i = 0; i < object.parts().size(); ++i) {
      const Part& part = object.parts()[i];
      for (std::size_t k = 0; k < part.symbols.size() && (k == 0 || !first_only); ++k) {
        const std::string_view name = object.elf().symbols()[part.symbols[k]].name;
        if (!is_numbered(name) && !out.emplace(name, static_cast<std::int32_t>(i)).second) {
          twice.insert(name);
        }
      }
    }
    for (std::string_view name : twice) {
      out.erase(name);
    }
    return out;
  }

  void by_name(bool first_only) {
    const auto old = names(pre_.object, first_only);
    for (const auto& [name, post] : names(post_.object, first_only)) {
      if (auto it = old.find(name); it != old.end()) {
        pair(it->second, post);
      }
    }
  }

  // Code whose name has a counter of the assembler's in it: each with the one in its place, where
  // as many are there as before and all are alike.
  void by_counter() {
    const auto counted = [](const Read& side) {
      std::map<std::string_view, Parts> out;
      for (std::size_t i = 0; i < side.object.parts().size(); ++i) {
        const Part& part = side.object.parts()[i];
        const std::string_view name = side.object.name(part);
        if (part.kind == PartKind::code && is_numbered(name) && family(name) == name) {
          out[unnumbered(name)].push_back(static_cast<std::int32_t>(i));
        }
      }
      return out;
    };
    auto old = counted(pre_);
    for (const auto& [name, now] : counted(post_)) {
      const Parts& were = old[name];
      if (std::ranges::equal(were, now, [&](std::int32_t pre, std::int32_t post) {
            return alike(pre_, pre, post_, post);
          })) {
        for (std::size_t i = 0; i < now.size(); ++i) {
          pair(were[i], now[i]);
        }
      }
    }
  }

  // Unpaired parts by their name without numbers.
  std::map<std::pair<PartKind, std::string>, Parts> unpaired(const Read& side, const Parts& partner,
                                                             PartKind kind) const {
    std::map<std::pair<PartKind, std::string>, Parts> out;
    for (std::size_t i = 0; i < partner.size(); ++i) {
      const Part& part = side.object.parts()[i];
      std::string name(side.object.name(part));
      if (partner[i] >= 0 || part.kind != kind || name.empty()) {
        continue;
      }
      if (kind == PartKind::data) {
        name = unnumbered(name);
      } else if (const std::size_t stem = family(name).size(); stem != name.size()) {
        std::erase_if(name, [](char c) { return c >= '0' && c <= '9'; });
      } else {
        continue;
      }
      out[{kind, name}].push_back(static_cast<std::int32_t>(i));
    }
    return out;
  }

  void by_clone() {
    const auto old = unpaired(pre_, out_.post_of, PartKind::code);
    for (const auto& [key, parts] : unpaired(post_, out_.pre_of, PartKind::code)) {
      auto it = old.find(key);
      if (it != old.end() && it->second.size() == 1 && parts.size() == 1) {
        pair(it->second[0], parts[0]);
      }
    }
  }

  static Families families(const Read& side) {
    Families out;
    for (std::size_t i = 0; i < side.object.parts().size(); ++i) {
      const Part& part = side.object.parts()[i];
      const std::string_view name = side.object.name(part);
      if (!name.empty() && (part.kind == PartKind::code || !is_numbered(name))) {
        out[{part.kind, part.kind == PartKind::code ? family(name) : name}].push_back(
            static_cast<std::int32_t>(i));
      }
    }
    return out;
  }

  bool same_code(const Parts& old, const Parts& now) const {
    return std::ranges::equal(old, now, [&](std::int32_t pre, std::int32_t post) {
      return out_.pre(post) == pre &&
             std::ranges::equal(pre_.object.bytes(before(pre)), post_.object.bytes(after(post))) &&
             std::ranges::equal(pre_.fields_of(pre), post_.fields_of(post), {}, &Field::offset,
                                &Field::offset);
    });
  }

  // The static locals that the parts name, by their name without number, in the order of first use.
  static std::map<std::string_view, Parts> locals(const Read& side, const Parts& users,
                                                  const Fills& fills) {
    std::map<std::string_view, Parts> out;
    for (std::int32_t user : users) {
      for (const Field& field : side.fields_of(user)) {
        if (field.target.part < 0) {
          continue;
        }
        const Part& target = side.object.part(field.target.part);
        const std::string_view name = side.object.name(target);
        if (target.kind == PartKind::data && is_numbered(name) &&
            !goes_with_a_fill(fills, field.target.part)) {
          Parts& list = out[unnumbered(name)];
          if (std::ranges::find(list, field.target.part) == list.end()) {
            list.push_back(field.target.part);
          }
        }
      }
    }
    return out;
  }

  void by_user(const Parts& old_users, const Parts& users, bool want_same) {
    const bool same = same_code(old_users, users);
    if (want_same && !same) {
      return;
    }
    const auto old = locals(pre_, old_users, old_fills_);
    for (const auto& [base, now] : locals(post_, users, fills_)) {
      auto it = old.find(base);
      if (it == old.end()) {
        continue;
      }
      const Parts& were = it->second;
      if (were.size() == now.size() && (same || now.size() == 1 || serves_anew(base))) {
        for (std::size_t i = 0; i < now.size(); ++i) {
          pair(were[i], now[i]);
        }
      } else {
        by_shape(were, now);
      }
    }
  }

  // A static local is a user like code: of those that only it names.
  void by_local() {
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < out_.pre_of.size(); ++i) {
        const auto post = static_cast<std::int32_t>(i);
        const std::int32_t pre = out_.pre_of[i];
        if (pre >= 0 && after(post).kind == PartKind::data &&
            is_numbered(post_.object.name(after(post))) && followed_.insert(post).second) {
          by_user({pre}, {post}, false);
          more = true;
        }
      }
    }
  }

  // The same text or constant, or nothing of the kind: then it does not tell.
  static bool alike_content(const Read& a, const Target& x, const Read& b, const Target& y) {
    const auto left = x.merged == 0 ? std::nullopt : a.object.content(x.merged, x.offset);
    const auto right = y.merged == 0 ? std::nullopt : b.object.content(y.merged, y.offset);
    return left.has_value() == right.has_value() &&
           (!left || std::ranges::equal(left->bytes, right->bytes));
  }

  static bool alike(const Read& a, std::int32_t x, const Read& b, std::int32_t y) {
    const Part& left = a.object.part(x);
    const Part& right = b.object.part(y);
    return left.size == right.size &&
           a.object.section_of(left).flags == b.object.section_of(right).flags &&
           std::ranges::equal(a.object.bytes(left), b.object.bytes(right)) &&
           std::ranges::equal(a.fields_of(x), b.fields_of(y), [&](const Field& f, const Field& g) {
             return f.offset == g.offset && alike_content(a, f.target, b, g.target);
           });
  }

  void by_shape(const Parts& were, const Parts& now) {
    for (std::int32_t post : now) {
      Parts like;
      std::ranges::copy_if(were, std::back_inserter(like),
                           [&](std::int32_t pre) { return alike(pre_, pre, post_, post); });
      const auto twins = std::ranges::count_if(
          now, [&](std::int32_t other) { return alike(post_, other, post_, post); });
      if (like.size() == 1 && twins == 1) {
        pair(like[0], post);
      }
    }
  }

  static std::set<std::string_view> users_of(const Read& side, const Families& all,
                                             std::int32_t part) {
    std::set<std::string_view> out;
    for (const auto& [key, members] : all) {
      for (std::int32_t member : members) {
        if (std::ranges::any_of(side.fields_of(member),
                                [&](const Field& field) { return field.target.part == part; })) {
          out.insert(key.second);
        }
      }
    }
    return out;
  }

  void by_what_is_left(const Families& families_before, const Families& families_after) {
    const auto old = unpaired(pre_, out_.post_of, PartKind::data);
    for (const auto& [key, parts] : unpaired(post_, out_.pre_of, PartKind::data)) {
      auto it = old.find(key);
      if (it == old.end() || it->second.size() != 1 || parts.size() != 1 ||
          goes_with_a_fill(old_fills_, it->second[0]) || goes_with_a_fill(fills_, parts[0])) {
        continue;
      }
      const auto were = users_of(pre_, families_before, it->second[0]);
      if (std::ranges::any_of(users_of(post_, families_after, parts[0]),
                              [&](std::string_view user) { return were.contains(user); })) {
        pair(it->second[0], parts[0]);
      }
    }
  }

  static bool goes_with_a_fill(const Fills& fills, std::int32_t part) {
    return fills.contains(part) ||
           std::ranges::any_of(fills, [&](const auto& entry) { return entry.second.flag == part; });
  }

  bool fills_the_same(const Fill& old, const Fill& now) const {
    return old.offset == now.offset && old.symbol == now.symbol &&
           (now.part < 0 ? old.part < 0 : old.part >= 0 && out_.pre(now.part) == old.part);
  }

  // Where several keys have filled one thing, the same function's.
  void by_what_is_filled(const Families& families_before, const Families& families_after) {
    for (const auto& [key, now] : fills_) {
      Parts same;
      Parts near;
      const auto users = users_of(post_, families_after, key);
      for (const auto& [old_key, old] : old_fills_) {
        if (!fills_the_same(old, now)) {
          continue;
        }
        same.push_back(old_key);
        for (std::string_view user : users_of(pre_, families_before, old_key)) {
          if (users.contains(user)) {
            near.push_back(old_key);
            break;
          }
        }
      }
      const Parts& chosen = near.empty() ? same : near;
      if (chosen.size() == 1) {
        pair(chosen[0], key);
        if (out_.pre(key) == chosen[0]) {
          pair(old_fills_.at(chosen[0]).flag, now.flag);
        }
      }
    }
  }

  const Read& pre_;
  const Read& post_;
  const Fills old_fills_, fills_;    // by key
  std::set<std::int32_t> followed_;  // static locals that were looked at as users
  Pairing out_;
};

}  // namespace

bool serves_anew(std::string_view base) {
  constexpr std::string_view names[] = {"__key",
                                        "__warned",
                                        "warned",
                                        "__already_done",
                                        "__done",
                                        "___done",
                                        "__func__",
                                        "__PRETTY_FUNCTION__",
                                        "_rs",
                                        "_entry",
                                        "_entry_ptr",
                                        "__print_once",
                                        "__UNIQUE_ID_ddebug"};
  return std::ranges::find(names, base) != std::end(names);
}

Result<Read> Read::open(const elf::ObjectFile& elf, const elf::Arch& arch,
                        const Constants& constants) {
  Read out{.object = TRY(Object::open(elf, arch)), .fields = {}, .tables = {}};
  out.tables = TRY(Tables::read(out.object, constants));
  out.fields.reserve(out.object.parts().size());
  for (const Part& part : out.object.parts()) {
    out.fields.push_back(TRY(out.object.fields(part)));
  }
  return out;
}

Pairing pair_up(const Read& pre, const Read& post) { return Pairer(pre, post).run(); }

}  // namespace suture::prove
