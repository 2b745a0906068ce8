// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: pre and post are two compiles; most names are the same on both sides, but the compiler
// numbers static locals ("warned.11") and clones (".isra.0") as it goes, so one added line renames
// things that did not change.
//
// Method: exact names first. What is left is grouped by its name without the number; a group with
// one member a side is a pair. Larger groups are settled by who refers to them: two correlated
// functions that name the same number of members of a group name them in the same order. Functions
// whose code is the same on both sides speak first, since their order cannot have changed.
//
// Invariants: a pre piece has at most one post piece and the other way round; strings, constants
// and blobs are never paired (they are compared by content).
#include <algorithm>
#include <cstring>
#include <map>

#include "diff/diff.h"

namespace suture::diff {

namespace {

class Correlator {
 public:
  Correlator(const Side& pre, const Side& post) : pre_(pre.graph), post_(post.graph) {
    result_.pre_of.assign(post_.pieces().size(), -1);
    result_.post_of.assign(pre_.pieces().size(), -1);
    result_.ambiguous.assign(post_.pieces().size(), false);
  }

  Correlation run() {
    by_exact_name();
    by_group();
    by_referrer(true);
    by_referrer(false);
    mark_ambiguous();
    return std::move(result_);
  }

 private:
  using Groups = std::map<std::pair<PieceKind, std::string>, std::vector<std::int32_t>>;

  static bool has_name(const Piece& piece) {
    return !piece.name.empty() &&
           (piece.kind == PieceKind::function || piece.kind == PieceKind::data);
  }

  // A static local's number says nothing, so its exact name proves nothing.
  static bool numbered(const Piece& piece) { return base_name(piece.name) != piece.name; }

  void pair(std::int32_t pre, std::int32_t post) {
    result_.pre_of[static_cast<std::size_t>(post)] = pre;
    result_.post_of[static_cast<std::size_t>(pre)] = post;
  }
  bool free_pre(std::int32_t pre) const {
    return result_.post_of[static_cast<std::size_t>(pre)] < 0;
  }
  bool free_post(std::int32_t post) const {
    return result_.pre_of[static_cast<std::size_t>(post)] < 0;
  }

  void by_exact_name() {
    std::map<std::pair<PieceKind, std::string_view>, std::int32_t> names;
    for (std::size_t i = 0; i < pre_.pieces().size(); ++i) {
      const Piece& piece = pre_.pieces()[i];
      if (has_name(piece) && !numbered(piece)) {
        names.emplace(std::pair{piece.kind, piece.name}, static_cast<std::int32_t>(i));
      }
    }
    for (std::size_t i = 0; i < post_.pieces().size(); ++i) {
      const Piece& piece = post_.pieces()[i];
      if (!has_name(piece) || numbered(piece)) {
        continue;
      }
      auto it = names.find(std::pair{piece.kind, piece.name});
      if (it != names.end() && free_pre(it->second)) {
        pair(it->second, static_cast<std::int32_t>(i));
      }
    }
  }

  // The group key of what exact names left over: clones by their stem and kind of clone.
  static std::string group_key(const Piece& piece) {
    std::string key = base_name(piece.name);
    if (piece.kind == PieceKind::function) {
      std::erase_if(key, [](char c) { return c >= '0' && c <= '9'; });
    }
    return key;
  }

  Groups leftovers(const PieceGraph& graph, bool post) const {
    Groups groups;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const Piece& piece = graph.pieces()[i];
      auto index = static_cast<std::int32_t>(i);
      // A plain function's name is its identity; only clones may change their number.
      bool clone = piece.kind == PieceKind::data || piece.name.find('.') != std::string_view::npos;
      if (has_name(piece) && clone && (post ? free_post(index) : free_pre(index))) {
        groups[{piece.kind, group_key(piece)}].push_back(index);
      }
    }
    return groups;
  }

  void by_group() {
    Groups pre = leftovers(pre_, false);
    for (const auto& [key, members] : leftovers(post_, true)) {
      auto it = pre.find(key);
      if (it != pre.end() && it->second.size() == 1 && members.size() == 1) {
        pair(it->second[0], members[0]);
      }
    }
  }

  bool same_code(const Piece& a, const Piece& b) const {
    ByteView left = pre_.bytes(a);
    ByteView right = post_.bytes(b);
    return left.size() == right.size() &&
           std::memcmp(left.data(), right.data(), left.size()) == 0 &&
           a.references.size() == b.references.size();
  }

  // Members of each group in the order in which the piece names them, each once.
  static std::map<std::string, std::vector<std::int32_t>> named_members(const PieceGraph& graph,
                                                                        const Piece& piece) {
    std::map<std::string, std::vector<std::int32_t>> out;
    for (const Reference& reference : piece.references) {
      if (reference.target_piece < 0) {
        continue;
      }
      const Piece& target = graph.piece(reference.target_piece);
      if (target.kind != PieceKind::data || target.name.empty() || !numbered(target)) {
        continue;
      }
      auto& list = out[base_name(target.name)];
      if (std::ranges::find(list, reference.target_piece) == list.end()) {
        list.push_back(reference.target_piece);
      }
    }
    return out;
  }

  void by_referrer(bool only_same_code) {
    for (std::size_t i = 0; i < post_.pieces().size(); ++i) {
      std::int32_t partner = result_.pre_of[i];
      const Piece& post = post_.pieces()[i];
      if (partner < 0 || post.kind != PieceKind::function) {
        continue;
      }
      const Piece& pre = pre_.piece(partner);
      if (only_same_code && !same_code(pre, post)) {
        continue;
      }
      auto before = named_members(pre_, pre);
      for (auto& [group, members] : named_members(post_, post)) {
        auto it = before.find(group);
        if (it == before.end() || it->second.size() != members.size()) {
          continue;
        }
        for (std::size_t k = 0; k < members.size(); ++k) {
          if (free_pre(it->second[k]) && free_post(members[k])) {
            pair(it->second[k], members[k]);
          }
        }
      }
    }
  }

  // Statics whose only job is to be distinct or to remember that a message was printed: a fresh one
  // does no harm.
  static bool harmless(std::string_view base) {
    return base == "__key" || base == "__warned" || base == "warned" || base == "__already_done" ||
           base == "__done" || base == "___done" || base == "__func__" ||
           base == "__PRETTY_FUNCTION__" || base == "__print_once" || base == "_rs" ||
           base == "__UNIQUE_ID_ddebug" || base == "_entry" || base == "_entry_ptr";
  }

  void mark_ambiguous() {
    Groups pre = leftovers(pre_, false);
    for (const auto& [key, members] : leftovers(post_, true)) {
      if (key.first != PieceKind::data || !pre.contains(key) || harmless(key.second)) {
        continue;
      }
      for (std::int32_t member : members) {
        if ((post_.section_of(post_.piece(member)).flags & SHF_WRITE) != 0) {
          result_.ambiguous[static_cast<std::size_t>(member)] = true;
        }
      }
    }
  }

  const PieceGraph& pre_;
  const PieceGraph& post_;
  Correlation result_;
};

}  // namespace

Correlation correlate(const Side& pre, const Side& post) { return Correlator(pre, post).run(); }

}  // namespace suture::diff
