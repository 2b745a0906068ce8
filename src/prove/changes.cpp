// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a change that was left out is a patch that does not do what it says.
//
// Method: compare every paired part, its fields by what they mean and its table entries, whatever
// the differ thought of it. Code that differs is stale, and so is what cannot be told apart from
// it: its .cold part, the readers of a constant table that differs, and, where ftrace cannot
// redirect it, everything that calls it.
//
// Invariants: two parts are the same only if no difference can be reached from them; what runs only
// at boot or load is never judged.
#include "prove/changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace suture::prove {

namespace {

class Comparer {
 public:
  Comparer(const Read& pre, const Read& post, const Pairing& pairing)
      : pre_(pre), post_(post), pairing_(pairing) {}

  bool same(std::int32_t a, std::int32_t b) {
    if (!assumed_.emplace(a, b).second) {
      return true;
    }
    const Part& x = pre_.object.part(a);
    const Part& y = post_.object.part(b);
    return x.kind == y.kind && x.size == y.size && x.room == y.room && same_bytes(a, b) &&
           same_fields(pre_.fields_of(a), post_.fields_of(b)) && same_tables(a, b);
  }

 private:
  // The distances that the assembler wrote are compared as fields.
  static Bytes without_distances(const Read& side, std::int32_t part) {
    const ByteView bytes = side.object.bytes(side.object.part(part));
    Bytes out(bytes.begin(), bytes.end());
    for (const Field& field : side.fields_of(part)) {
      if (field.resolved) {
        std::memset(out.data() + field.offset, 0, field.kind.size);
      }
    }
    return out;
  }

  bool same_bytes(std::int32_t a, std::int32_t b) const {
    const ByteView x = pre_.object.bytes(pre_.object.part(a));
    const ByteView y = post_.object.bytes(post_.object.part(b));
    if (x.empty() != y.empty()) {
      // .bss holds no bytes: what lies there is zero.
      return std::ranges::all_of(x.empty() ? y : x, [](std::uint8_t byte) { return byte == 0; });
    }
    return std::ranges::equal(x, y) ||
           (x.size() == y.size() && without_distances(pre_, a) == without_distances(post_, b));
  }

  bool same_fields(const std::vector<Field>& a, const std::vector<Field>& b) {
    return std::ranges::equal(a, b,
                              [&](const Field& x, const Field& y) { return same_field(x, y); });
  }

  bool same_field(const Field& a, const Field& b) {
    if (a.offset != b.offset || a.kind.size != b.kind.size ||
        a.kind.pc_relative != b.kind.pc_relative || a.branch != b.branch) {
      return false;
    }
    const Target& x = a.target;
    const Target& y = b.target;
    if (x.merged != 0 || y.merged != 0) {
      return x.merged != 0 && y.merged != 0 && same_content(x, y);
    }
    if (x.offset != y.offset) {
      return false;
    }
    if (x.part < 0 || y.part < 0) {
      // The same name of what another file defines on one side or both.
      return (x.part < 0 || pairing_.gone.contains(x.part)) &&
             (y.part < 0 || pairing_.come.contains(y.part)) && name(pre_, x) == name(post_, y);
    }
    if (pairing_.come.contains(y.part)) {
      return is_weak(pre_, x) && name(pre_, x) == name(post_, y);
    }
    const bool copies = is_copy_as_good(pre_.object, pre_.object.part(x.part)) &&
                        is_copy_as_good(post_.object, post_.object.part(y.part));
    return copies ? same_start(x, y) || same(x.part, y.part) : pairing_.pre(y.part) == x.part;
  }

  static const elf::Symbol& symbol(const Read& side, const Target& target) {
    const auto& symbols = side.object.elf().symbols();
    return target.part < 0 ? symbols[target.symbol]
                           : symbols[side.object.part(target.part).symbols.at(0)];
  }
  static std::string_view name(const Read& side, const Target& target) {
    return symbol(side, target).name;
  }
  static bool is_weak(const Read& side, const Target& target) {
    return !side.object.part(target.part).symbols.empty() &&
           symbol(side, target).binding == STB_WEAK;
  }

  bool same_content(const Target& x, const Target& y) const {
    const auto a = pre_.object.content(x.merged, x.offset);
    const auto b = post_.object.content(y.merged, y.offset);
    return a && b && a->inside == b->inside && std::ranges::equal(a->bytes, b->bytes);
  }

  // Unnamed tables of one file follow each other without a mark between them. Where one side only
  // has more behind all that the other has, the same code reads the same.
  bool same_start(const Target& x, const Target& y) const {
    const Part& a = pre_.object.part(x.part);
    const Part& b = post_.object.part(y.part);
    const ByteView left = pre_.object.bytes(a);
    const ByteView right = post_.object.bytes(b);
    const std::size_t common = std::min(left.size(), right.size());
    return a.kind == PartKind::data && b.kind == PartKind::data && a.symbols.empty() &&
           b.symbols.empty() && pre_.fields_of(x.part).empty() && post_.fields_of(y.part).empty() &&
           x.offset >= 0 && static_cast<std::size_t>(x.offset) < common &&
           std::ranges::equal(left.first(common), right.first(common));
  }

  bool same_tables(std::int32_t a, std::int32_t b) {
    return std::ranges::equal(pre_.tables.entries[static_cast<std::size_t>(a)],
                              post_.tables.entries[static_cast<std::size_t>(b)],
                              [&](const Entry& x, const Entry& y) {
                                return x.table == y.table && std::ranges::equal(x.bytes, y.bytes) &&
                                       same_fields(x.fields, y.fields);
                              });
  }

  const Read& pre_;
  const Read& post_;
  const Pairing& pairing_;
  std::set<std::pair<std::int32_t, std::int32_t>> assumed_;
};

class Finder {
 public:
  Finder(const Read& pre, const Read& post, const Pairing& pairing, bool of_module,
         const std::set<std::string, std::less<>>& ignored)
      : pre_(pre),
        post_(post),
        pairing_(pairing),
        of_module_(of_module),
        ignored_(ignored),
        count_(post.object.parts().size()) {
    out_.differs.resize(count_, false);
    out_.stale.resize(count_, false);
    out_.at_boot.resize(count_, false);
    users_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      for (const Field& field : post_.fields[i]) {
        if (field.target.part >= 0 && field.target.part != static_cast<std::int32_t>(i)) {
          users_[static_cast<std::size_t>(field.target.part)].push_back(
              {static_cast<std::int32_t>(i), field.branch, field.address, is_label(i, field)});
        }
      }
    }
  }

  Changes run() {
    for (std::size_t i = 0; i < count_; ++i) {
      compare(static_cast<std::int32_t>(i));
    }
    for (std::size_t i = 0; i < count_; ++i) {
      if (out_.differs[i] && post_.object.parts()[i].kind == PartKind::data) {
        judge_data(static_cast<std::int32_t>(i));
      }
    }
    spread();
    return std::move(out_);
  }

 private:
  struct User {
    std::int32_t part;
    bool branch;
    bool address;
    bool label;  // data with an address inside a function: for its own `goto *`
  };

  const Part& part(std::int32_t index) const { return post_.object.part(index); }
  bool is_label(std::size_t holder, const Field& field) const {
    const Part& target = part(field.target.part);
    return post_.object.parts()[holder].kind == PartKind::data && target.kind == PartKind::code &&
           (field.target.offset != 0 || !split_from(post_.object.name(target)).empty());
  }
  bool boot_only(std::int32_t index) const { return boot_only(post_.object, part(index)); }
  bool boot_only(const Object& object, const Part& part) const {
    const std::string& section = object.section_of(part).name;
    return is_boot_only(section) && !(of_module_ && is_exit(section));
  }
  std::string name(std::int32_t index) const {
    const std::string_view own = post_.object.name(part(index));
    return own.empty() ? post_.object.section_of(part(index)).name : std::string(own);
  }
  // Nobody can write there once the kernel has booted.
  static bool is_sealed(const Object& object, const Part& part) {
    const std::string_view section = object.section_of(part).name;
    return !is_writable(object, part) || section.starts_with(".data..ro_after_init") ||
           section.starts_with(".data.rel.ro");
  }
  void lose(std::int32_t index, std::string reason) {
    out_.lost.push_back(
        Error{Code::proof_failed, name(index), std::move(reason), "report this with the diff"});
  }

  void compare(std::int32_t index) {
    const std::int32_t before = pairing_.pre(index);
    const std::string_view own = post_.object.name(part(index));
    if (before < 0 || ignored_.contains(own) || ignored_.contains(split_from(own)) ||
        ignored_.contains(post_.object.section_of(part(index)).name) ||
        is_copy_as_good(post_.object, part(index))) {
      return;
    }
    if (part(index).kind == PartKind::data && !boot_only(index) &&
        is_sealed(pre_.object, pre_.object.part(before)) && !is_sealed(post_.object, part(index))) {
      lose(index, "it is to be written, and the running kernel's own is read-only since boot");
    }
    if (Comparer(pre_, post_, pairing_).same(before, index)) {
      return;
    }
    if (boot_only(index)) {
      out_.at_boot[static_cast<std::size_t>(index)] = true;
      return;
    }
    out_.differs[static_cast<std::size_t>(index)] = true;
    if (part(index).kind == PartKind::code) {
      make_stale(index);
    }
  }

  // Data whose first contents differ: a constant is read anew by changed readers, the rest is the
  // running kernel's for good.
  void judge_data(std::int32_t index) {
    const auto& users = users_[static_cast<std::size_t>(index)];
    auto at_boot = [&](const User& user) { return boot_only(user.part); };
    const bool known = !post_.object.global(part(index)) && !users.empty();
    if (known && std::ranges::all_of(users, at_boot)) {
      if (is_writable(post_.object, part(index)) &&
          (std::ranges::any_of(users, &User::address) || handed_out_before(pairing_.pre(index)))) {
        lose(index, "its first contents change, and boot code gave its address away");
      }
      return;
    }
    if (!known || is_writable(post_.object, part(index))) {
      lose(index, "its first contents change, and the running kernel's own is in use");
      return;
    }
    for (const User& user : users) {
      if (part(user.part).kind != PartKind::code) {
        lose(index, fmt::format("its contents change, and {} holds its address", name(user.part)));
      } else if (!at_boot(user)) {
        make_stale(user.part);
      }
    }
  }

  bool handed_out_before(std::int32_t before) const {
    return std::ranges::any_of(pre_.fields, [&](const std::vector<Field>& fields) {
      return std::ranges::any_of(
          fields, [&](const Field& field) { return field.address && field.target.part == before; });
    });
  }

  void make_stale(std::int32_t index) {
    if (!out_.stale[static_cast<std::size_t>(index)]) {
      out_.stale[static_cast<std::size_t>(index)] = true;
      work_.push_back(index);
    }
  }

  // What ftrace cannot redirect although a module runs it when it is unloaded.
  bool runs_at_exit(std::int32_t index) const {
    return of_module_ && is_exit(post_.object.section_of(part(index)).name);
  }

  bool redirectable(std::int32_t index) const {
    const std::int32_t before = pairing_.pre(index);
    return before >= 0 && pre_.tables.traceable[static_cast<std::size_t>(before)];
  }

  void spread() {
    while (!work_.empty()) {
      const std::int32_t index = work_.back();
      work_.pop_back();
      join_cold(index);
      take_labels(index);
      if (!redirectable(index) && pairing_.pre(index) >= 0) {
        if (runs_at_exit(index)) {
          lose(index, "it differs, and the module runs it when it is unloaded");
        }
        spread_to_callers(index);
      }
    }
  }

  // A function and what was split from it jump into each other.
  void join_cold(std::int32_t index) {
    const std::string_view own = post_.object.name(part(index));
    for (std::size_t i = 0; i < count_; ++i) {
      const Part& other = post_.object.parts()[i];
      const std::string_view theirs = post_.object.name(other);
      if (other.kind == PartKind::code && !own.empty() && !theirs.empty() &&
          (split_from(own) == theirs || split_from(theirs) == own)) {
        make_stale(static_cast<std::int32_t>(i));
      }
    }
  }

  // A table of labels is the new function's own, wherever they lie now: the running kernel's leads
  // into the old one.
  void take_labels(std::int32_t index) {
    for (const User& user : users_[static_cast<std::size_t>(index)]) {
      if (user.label && !boot_only(user.part) &&
          !out_.differs[static_cast<std::size_t>(user.part)]) {
        out_.differs[static_cast<std::size_t>(user.part)] = true;
        judge_data(user.part);
      }
    }
  }

  void spread_to_callers(std::int32_t index) {
    const bool cold = !split_from(post_.object.name(part(index))).empty();
    if (post_.object.global(part(index))) {
      lose(index, "it differs, ftrace cannot redirect it, and other files may call it");
    }
    for (const User& user : users_[static_cast<std::size_t>(index)]) {
      if (boot_only(user.part)) {
        continue;
      }
      if (part(user.part).kind == PartKind::code && (user.branch || cold)) {
        make_stale(user.part);
      } else if (!user.label) {
        lose(index, fmt::format("it differs, ftrace cannot redirect it, and {} holds its address",
                                name(user.part)));
      }
    }
  }

  const Read& pre_;
  const Read& post_;
  const Pairing& pairing_;
  const bool of_module_;
  const std::set<std::string, std::less<>>& ignored_;
  std::size_t count_;
  std::vector<std::vector<User>> users_;  // by post part
  std::vector<std::int32_t> work_;
  Changes out_;
};

}  // namespace

Changes find_changes(const Read& pre, const Read& post, const Pairing& pairing, bool of_module,
                     const std::set<std::string, std::less<>>& ignored) {
  return Finder(pre, post, pairing, of_module, ignored).run();
}

}  // namespace suture::prove
