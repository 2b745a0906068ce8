// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: pre and post are two compiles; most names are the same on both sides, but the compiler
// numbers static locals ("warned.11") and clones (".isra.0") as it goes, so one added line renames
// things that did not change.
//
// Method: exact names first, aliases included. Functions that assembly names by a counter are told
// by their order. Clones that are left over are paired where one of a kind is left a side. Static
// locals are settled by who refers to them: what a function and its clones and .cold part name in
// one order before and after is the same, where their code is the same. In changed code the order
// proves nothing, so there only what is alone in its group, or alone in having its size and
// contents (strings that it points to count), is paired. A static local that is paired settles
// those that it names, as code does. What is left is paired if it is alone and still has a user in
// common. What DO_ONCE() makes goes with the variable that it fills, and with nothing else.
//
// Invariants: a pre piece has at most one post piece and the other way round; strings, constants
// and blobs are never paired (they are compared by content). Nothing is paired with what the kernel
// freed after boot, nor a variable with one of another storage. A post variable that could be any
// of several pre variables is ambiguous, never new.
#include <algorithm>
#include <map>
#include <set>

#include "diff/diff.h"
#include "diff/onces.h"

namespace suture::diff {

namespace {

// "f" of "f.isra.0.cold": the function of the source that the piece was made from.
std::string_view stem(std::string_view name) { return name.substr(0, name.find('.', 1)); }

class Correlator {
 public:
  Correlator(const Side& pre, const Side& post)
      : pre_(pre.graph),
        post_(post.graph),
        onces_before_(onces_of(pre.graph)),
        onces_after_(onces_of(post.graph)) {
    result_.pre_of.assign(post_.pieces().size(), -1);
    result_.post_of.assign(pre_.pieces().size(), -1);
    result_.ambiguous.assign(post_.pieces().size(), false);
  }

  Correlation run() {
    by_exact_name();
    by_order_of_unique_functions();
    by_place_at_boot();
    by_clone();
    families_before_ = families(pre_);
    families_after_ = families(post_);
    followed_.assign(post_.pieces().size(), false);
    by_referrer(true);
    by_settled_variable();
    by_referrer(false);
    by_settled_variable();
    by_common_user();
    by_what_is_filled();
    mark_ambiguous();
    return std::move(result_);
  }

 private:
  using Pieces = std::vector<std::int32_t>;
  using Groups = std::map<std::pair<PieceKind, std::string>, Pieces>;
  using Onces = std::map<std::int32_t, Once>;
  using Families = std::map<std::pair<PieceKind, std::string_view>, Pieces>;

  static bool has_name(const Piece& piece) {
    return !piece.name.empty() &&
           (piece.kind == PieceKind::function || piece.kind == PieceKind::data);
  }

  // A static local's number says nothing, so its exact name proves nothing.
  static bool numbered(std::string_view name) { return base_name(name) != name; }

  bool can_pair(std::int32_t pre, std::int32_t post) const {
    if (pre < 0 || result_.post_of[static_cast<std::size_t>(pre)] >= 0 ||
        result_.pre_of[static_cast<std::size_t>(post)] >= 0) {
      return false;
    }
    const std::string& before = pre_.section_of(pre_.piece(pre)).name;
    const std::string& after = post_.section_of(post_.piece(post)).name;
    return is_init_section(before) == is_init_section(after) &&
           is_per_cpu_section(before) == is_per_cpu_section(after);
  }

  void pair(std::int32_t pre, std::int32_t post) {
    if (can_pair(pre, post)) {
      result_.pre_of[static_cast<std::size_t>(post)] = pre;
      result_.post_of[static_cast<std::size_t>(pre)] = post;
    }
  }
  bool free_pre(std::int32_t pre) const {
    return result_.post_of[static_cast<std::size_t>(pre)] < 0;
  }
  bool free_post(std::int32_t post) const {
    return result_.pre_of[static_cast<std::size_t>(post)] < 0;
  }

  void by_exact_name() {
    NameMap before = names_of(pre_);
    NameMap after = names_of(post_);
    for (bool aliases : {false, true}) {
      for (const auto& [name, post] : after) {
        auto it = before.find(name);
        if (it == before.end() || numbered(name.second)) {
          continue;
        }
        bool own =
            pre_.piece(it->second).name == name.second && post_.piece(post).name == name.second;
        if (own || aliases) {
          pair(it->second, post);
        }
      }
    }
  }

  // Functions that assembly names by a counter (__UNIQUE_ID_nop381, KVM's empty operations): those
  // of one name are the same in their order, where none was added or taken away and no code
  // differs.
  void by_order_of_unique_functions() {
    auto before = unique_functions(pre_);
    for (const auto& [name, after] : unique_functions(post_)) {
      auto it = before.find(name);
      if (it != before.end() &&
          std::ranges::equal(it->second, after, [&](std::int32_t pre, std::int32_t post) {
            return same_bytes(pre_.piece(pre), post_.piece(post));
          })) {
        for (std::size_t k = 0; k < after.size(); ++k) {
          pair(it->second[k], after[k]);
        }
      }
    }
  }

  static std::map<std::string, Pieces> unique_functions(const PieceGraph& graph) {
    std::map<std::string, Pieces> out;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const Piece& piece = graph.pieces()[i];
      if (piece.kind == PieceKind::function && stem(piece.name) == piece.name &&
          numbered(piece.name)) {
        out[base_name(piece.name)].push_back(static_cast<std::int32_t>(i));
      }
    }
    return out;
  }

  bool same_bytes(const Piece& before, const Piece& after) const {
    return std::ranges::equal(pre_.bytes(before), post_.bytes(after)) &&
           std::ranges::equal(before.references, after.references, {}, &Reference::offset,
                              &Reference::offset);
  }

  // What is read at boot or load and has no name, or one with the line and a number that the
  // compiler counts up in it, is told by what it points to and by its place.
  void by_place_at_boot() {
    auto before = at_boot(pre_, result_.post_of);
    for (const auto& [key, members] : at_boot(post_, result_.pre_of)) {
      auto it = before.find(key);
      if (it != before.end() && it->second.size() == members.size()) {
        for (std::size_t k = 0; k < members.size(); ++k) {
          pair(it->second[k], members[k]);
        }
      }
    }
  }

  static std::map<std::string, Pieces> at_boot(const PieceGraph& graph,
                                               const std::vector<std::int32_t>& partners) {
    std::map<std::string, Pieces> out;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const Piece& piece = graph.pieces()[i];
      std::string key = graph.section_of(piece).name;
      const bool initcall = piece.name.starts_with("__initcall__");
      if (piece.kind != PieceKind::data || partners[i] >= 0 || !is_init_section(key) ||
          !(piece.name.empty() || initcall)) {
        continue;
      }
      if (initcall && !piece.references.empty()) {
        const Reference& call = piece.references[0];
        key += call.target_piece >= 0 ? graph.piece(call.target_piece).name
                                      : graph.object().symbols()[call.symbol].name;
      }
      out[key].push_back(static_cast<std::int32_t>(i));
    }
    return out;
  }

  // "f.isra.3.cold" → "f.isra..cold". A plain function's name is its identity; only clones may
  // change their number.
  static std::string clone_key(std::string_view name) {
    std::size_t own = stem(name).size();
    std::string key(name.substr(0, own));
    for (char c : name.substr(own)) {
      if (c < '0' || c > '9') {
        key += c;
      }
    }
    return key;
  }

  Groups leftovers(const PieceGraph& graph, PieceKind kind, bool post) const {
    Groups groups;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const Piece& piece = graph.pieces()[i];
      auto index = static_cast<std::int32_t>(i);
      if (piece.kind != kind || piece.name.empty() ||
          !(post ? free_post(index) : free_pre(index))) {
        continue;
      }
      if (kind == PieceKind::data) {
        groups[{kind, base_name(piece.name)}].push_back(index);
      } else if (stem(piece.name) != piece.name) {
        groups[{kind, clone_key(piece.name)}].push_back(index);
      }
    }
    return groups;
  }

  void by_clone() {
    Groups before = leftovers(pre_, PieceKind::function, false);
    for (const auto& [key, members] : leftovers(post_, PieceKind::function, true)) {
      auto it = before.find(key);
      if (it != before.end() && it->second.size() == 1 && members.size() == 1) {
        pair(it->second[0], members[0]);
      }
    }
  }

  // A function with its clones and .cold part, or a variable: what can name static locals.
  static Families families(const PieceGraph& graph) {
    Families out;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const Piece& piece = graph.pieces()[i];
      if (piece.kind == PieceKind::function) {
        out[{piece.kind, stem(piece.name)}].push_back(static_cast<std::int32_t>(i));
      } else if (has_name(piece) && !numbered(piece.name)) {
        out[{piece.kind, piece.name}].push_back(static_cast<std::int32_t>(i));
      }
    }
    return out;
  }

  bool same_code(const Pieces& before, const Pieces& after) const {
    return std::ranges::equal(before, after, [&](std::int32_t pre, std::int32_t post) {
      return result_.pre_of[static_cast<std::size_t>(post)] == pre &&
             same_bytes(pre_.piece(pre), post_.piece(post));
    });
  }

  // Members of each group in the order in which the family names them, each once.
  static std::map<std::string, Pieces> named_members(const PieceGraph& graph, const Pieces& family,
                                                     const Onces& onces) {
    std::map<std::string, Pieces> out;
    for (std::int32_t user : family) {
      for (const Reference& reference : graph.piece(user).references) {
        if (reference.target_piece < 0) {
          continue;
        }
        const Piece& target = graph.piece(reference.target_piece);
        if (target.kind != PieceKind::data || !numbered(target.name) ||
            is_of(onces, reference.target_piece)) {
          continue;
        }
        Pieces& list = out[base_name(target.name)];
        if (std::ranges::find(list, reference.target_piece) == list.end()) {
          list.push_back(reference.target_piece);
        }
      }
    }
    return out;
  }

  void by_referrer(bool only_same_code) {
    for (const auto& [key, after] : families_after_) {
      auto family = families_before_.find(key);
      if (family == families_before_.end()) {
        continue;
      }
      const bool same = same_code(family->second, after);
      if (!only_same_code || same) {
        settle_named(family->second, after, same);
      }
    }
  }

  void settle_named(const Pieces& before, const Pieces& after, bool same) {
    auto named_before = named_members(pre_, before, onces_before_);
    for (const auto& [group, members] : named_members(post_, after, onces_after_)) {
      auto it = named_before.find(group);
      if (it != named_before.end()) {
        settle(it->second, members, same || may_start_anew(group));
      }
    }
  }

  // A static local that is settled settles those that only it names: tables of tables.
  void by_settled_variable() {
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < followed_.size(); ++i) {
        const Piece& piece = post_.pieces()[i];
        if (followed_[i] || result_.pre_of[i] < 0 || piece.kind != PieceKind::data ||
            !numbered(piece.name)) {
          continue;
        }
        followed_[i] = more = true;
        const Pieces before{result_.pre_of[i]};
        const Pieces after{static_cast<std::int32_t>(i)};
        settle_named(before, after, same_code(before, after));
      }
    }
  }

  void settle(const Pieces& before, const Pieces& after, bool order_counts) {
    if (before.size() == after.size() && (order_counts || after.size() == 1)) {
      for (std::size_t k = 0; k < after.size(); ++k) {
        pair(before[k], after[k]);
      }
      return;
    }
    for (std::int32_t post : after) {
      auto twin = [&](const Pieces& list, const PieceGraph& graph) {
        Pieces out;
        std::ranges::copy_if(list, std::back_inserter(out), [&](std::int32_t other) {
          return same_shape(graph, graph.piece(other), post_.piece(post));
        });
        return out;
      };
      Pieces like_before = twin(before, pre_);
      if (like_before.size() == 1 && twin(after, post_).size() == 1) {
        pair(like_before[0], post);
      }
    }
  }

  bool same_shape(const PieceGraph& graph, const Piece& a, const Piece& b) const {
    return a.size == b.size && graph.section_of(a).flags == post_.section_of(b).flags &&
           std::ranges::equal(graph.bytes(a), post_.bytes(b)) &&
           std::ranges::equal(a.references, b.references,
                              [&](const Reference& left, const Reference& right) {
                                return left.offset == right.offset &&
                                       text_at(graph, left) == text_at(post_, right);
                              });
  }

  // The families that name each piece.
  static std::map<std::int32_t, std::set<std::string_view>> users_of(const PieceGraph& graph,
                                                                     const Families& families) {
    std::map<std::int32_t, std::set<std::string_view>> out;
    for (const auto& [key, members] : families) {
      for (std::int32_t member : members) {
        for (const Reference& reference : graph.piece(member).references) {
          out[reference.target_piece].insert(key.second);
        }
      }
    }
    return out;
  }

  void by_common_user() {
    auto before_users = users_of(pre_, families_before_);
    auto after_users = users_of(post_, families_after_);
    Groups before = leftovers(pre_, PieceKind::data, false);
    for (const auto& [key, members] : leftovers(post_, PieceKind::data, true)) {
      auto it = before.find(key);
      if (it == before.end() || it->second.size() != 1 || members.size() != 1 ||
          is_of(onces_before_, it->second[0]) || is_of(onces_after_, members[0])) {
        continue;
      }
      const auto& old_users = before_users[it->second[0]];
      if (std::ranges::any_of(after_users[members[0]],
                              [&](std::string_view user) { return old_users.contains(user); })) {
        pair(it->second[0], members[0]);
      }
    }
  }

  // The key or the flag of a once whose variable is known.
  static bool is_of(const Onces& onces, std::int32_t piece) {
    return std::ranges::any_of(onces, [&](const auto& entry) {
      return entry.first == piece || entry.second.done == piece;
    });
  }

  bool fill_the_same(const Once& before, const Once& after) const {
    const bool both_here = before.filled >= 0 && after.filled >= 0 &&
                           result_.pre_of[static_cast<std::size_t>(after.filled)] == before.filled;
    const bool both_elsewhere = before.filled < 0 && after.filled < 0 && before.name == after.name;
    return (both_here || both_elsewhere) && before.place == after.place;
  }

  // The onces of pre that fill what one of post does: those that code in common has, where there
  // are such.
  Pieces onces_like(const Once& after, const std::set<std::string_view>& users,
                    std::map<std::int32_t, std::set<std::string_view>>& before_users) const {
    Pieces all;
    Pieces shared;
    for (const auto& [key, before] : onces_before_) {
      if (fill_the_same(before, after)) {
        all.push_back(key);
        if (std::ranges::any_of(before_users[key],
                                [&](auto user) { return users.contains(user); })) {
          shared.push_back(key);
        }
      }
    }
    return shared.empty() ? all : shared;
  }

  void by_what_is_filled() {
    if (onces_after_.empty()) {
      return;
    }
    auto before_users = users_of(pre_, families_before_);
    auto after_users = users_of(post_, families_after_);
    std::map<std::int32_t, Pieces> takers;  // by key of pre
    for (const auto& [key, after] : onces_after_) {
      const Pieces like = onces_like(after, after_users[key], before_users);
      if (like.size() == 1) {
        takers[like[0]].push_back(key);
      } else if (like.empty() && is_first_fill(after)) {
        new_onces_.insert(key);
      }
    }
    for (const auto& [key, posts] : takers) {
      if (posts.size() == 1) {
        pair(key, posts[0]);
        pair(onces_before_.at(key).done, onces_after_.at(posts[0]).done);
      }
    }
  }

  // Nothing has filled the variable before. An inlined function may do more than its last call.
  bool is_first_fill(const Once& once) const {
    const bool is_new =
        once.filled >= 0 && result_.pre_of[static_cast<std::size_t>(once.filled)] < 0;
    return once.only_fills && (is_new || all_known(pre_, onces_before_));
  }

  static bool all_known(const PieceGraph& graph, const Onces& onces) {
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      if (is_key_of_a_once(base_name(graph.pieces()[i].name)) &&
          !onces.contains(static_cast<std::int32_t>(i))) {
        return false;
      }
    }
    return true;
  }

  void mark_ambiguous() {
    Groups before = leftovers(pre_, PieceKind::data, false);
    for (const auto& [key, members] : leftovers(post_, PieceKind::data, true)) {
      auto it = before.find(key);
      if (it == before.end() || may_start_anew(key.second)) {
        continue;
      }
      for (std::int32_t member : members) {
        bool possible = std::ranges::any_of(
            it->second, [&](std::int32_t other) { return can_pair(other, member); });
        const Piece& piece = post_.piece(member);
        if (possible && !new_onces_.contains(member) &&
            (post_.section_of(piece).flags & SHF_WRITE) != 0 && !is_copyable(post_, piece)) {
          result_.ambiguous[static_cast<std::size_t>(member)] = true;
        }
      }
    }
  }

  const PieceGraph& pre_;
  const PieceGraph& post_;
  const Onces onces_before_;  // by key
  const Onces onces_after_;
  std::set<std::int32_t> new_onces_;  // keys of post
  Families families_before_;
  Families families_after_;
  std::vector<bool> followed_;  // by post piece: static locals that settled what they name
  Correlation result_;
};

}  // namespace

bool may_start_anew(std::string_view base) {
  return base == "__key" || base == "__warned" || base == "warned" || base == "__already_done" ||
         base == "__done" || base == "___done" || base == "__func__" ||
         base == "__PRETTY_FUNCTION__" || base == "__print_once" || base == "_rs" ||
         base == "__UNIQUE_ID_ddebug" || base == "_entry" || base == "_entry_ptr";
}

NameMap names_of(const PieceGraph& graph) {
  NameMap out;
  std::set<NameMap::key_type> twice;
  for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
    const Piece& piece = graph.pieces()[i];
    if (piece.name.empty() ||
        (piece.kind != PieceKind::function && piece.kind != PieceKind::data)) {
      continue;
    }
    auto add = [&](std::string_view name) {
      auto [it, fresh] = out.try_emplace({piece.kind, name}, static_cast<std::int32_t>(i));
      if (!fresh && it->second != static_cast<std::int32_t>(i)) {
        twice.insert(it->first);
      }
    };
    add(piece.name);
    for (std::uint32_t alias : piece.aliases) {
      add(graph.object().symbols()[alias].name);
    }
  }
  for (const auto& key : twice) {
    out.erase(key);
  }
  return out;
}

Correlation correlate(const Side& pre, const Side& post) { return Correlator(pre, post).run(); }

}  // namespace suture::diff
