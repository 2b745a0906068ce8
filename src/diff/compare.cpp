// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: decide whether a function of post means the same as its pre function, although every
// address, string offset and static local's number in it may differ.
//
// Method: two questions with two names. same_bytes: the bytes that the compiler wrote, where
// relocated fields are zero on both sides. same_reference: what the fields point at, in terms of
// the correlation; pieces that are paired are the same thing whatever they contain (they are judged
// by themselves), pieces without identity (strings, constants, copies) are the same if their
// contents are, which is a recursion. It ends because a pair that is being compared counts as
// equal: two graphs are equal exactly if no difference can be reached.
//
// Invariants: a relocated field's own bytes never count (RELA objects keep the addend elsewhere,
// and branches without relocation are compared by target).
#include <algorithm>
#include <cstring>
#include <set>

#include "diff/diff.h"

namespace suture::diff {

namespace {

class Comparer {
 public:
  Comparer(const Side& pre, const Side& post, const Correlation& correlation)
      : pre_(pre), post_(post), correlation_(correlation) {}

  bool same_piece(std::int32_t a, std::int32_t b) {
    if (!assumed_.emplace(a, b).second) {
      return true;
    }
    const Piece& left = pre_.graph.piece(a);
    const Piece& right = post_.graph.piece(b);
    return left.kind == right.kind && left.size == right.size && same_bytes(left, right) &&
           same_references(left.references, right.references) && same_tables(a, b);
  }

 private:
  bool same_bytes(const Piece& left, const Piece& right) const {
    ByteView a = pre_.graph.bytes(left);
    ByteView b = post_.graph.bytes(right);
    if (a.size() != b.size()) {
      // Zeros may be written out on one side and not on the other.
      return std::ranges::all_of(a.empty() ? b : a, [](std::uint8_t byte) { return byte == 0; });
    }
    // Fields of resolved branches hold distances: they are compared as references.
    Bytes x(a.begin(), a.end());
    Bytes y(b.begin(), b.end());
    blank_synthetic(x, left);
    blank_synthetic(y, right);
    return x == y;
  }

  static void blank_synthetic(Bytes& bytes, const Piece& piece) {
    for (const Reference& reference : piece.references) {
      if (reference.synthetic) {
        std::size_t width = reference.type == 0 ? 1 : 4;
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(reference.offset), width,
                    std::uint8_t{0});
      }
    }
  }

  bool same_references(const std::vector<Reference>& left, const std::vector<Reference>& right) {
    return std::ranges::equal(
        left, right, [&](const Reference& a, const Reference& b) { return same_reference(a, b); });
  }

  bool same_reference(const Reference& a, const Reference& b) {
    // A call of what the file itself defines has another type than one of what it does not.
    const bool other_file =
        a.is_branch && b.is_branch && (a.target_piece < 0) != (b.target_piece < 0);
    if (a.offset != b.offset || (a.type != b.type && !other_file)) {
      return false;
    }
    auto left_text = text_at(pre_.graph, a);
    auto right_text = text_at(post_.graph, b);
    if (left_text || right_text) {
      return left_text == right_text;
    }
    if (a.target_offset != b.target_offset) {
      return false;
    }
    if (a.target_piece < 0 || b.target_piece < 0) {
      return name_in(pre_.graph, a) == name_in(post_.graph, b) && stays_what_it_is(a, b);
    }
    std::int32_t partner = correlation_.pre_of[static_cast<std::size_t>(b.target_piece)];
    if (partner >= 0 && !copyable(b.target_piece)) {
      return partner == a.target_piece;
    }
    const Piece& left = pre_.graph.piece(a.target_piece);
    const Piece& right = post_.graph.piece(b.target_piece);
    if (partner < 0 && left.name == right.name && is_weak(pre_.graph, left) && has_origin(b)) {
      return true;  // it means what the linker takes, before and after
    }
    if (!is_copyable(pre_.graph, left) || !is_copyable(post_.graph, right)) {
      return false;
    }
    return same_start(left, right, a.target_offset) || same_piece(a.target_piece, b.target_piece);
  }

  static std::string_view name_in(const PieceGraph& graph, const Reference& reference) {
    return reference.target_piece < 0 ? graph.object().symbols()[reference.symbol].name
                                      : graph.piece(reference.target_piece).name;
  }

  static bool is_weak(const PieceGraph& graph, const Piece& piece) {
    return graph.object().symbols()[piece.symbol].binding == STB_WEAK;
  }

  bool has_origin(const Reference& after) const {
    auto origin = correlation_.elsewhere.origins.find(after.target_piece);
    return origin != correlation_.elsewhere.origins.end() && origin->second.global;
  }

  // Of one name, and at least one side says it of what another file defines.
  bool stays_what_it_is(const Reference& before, const Reference& after) const {
    return (before.target_piece < 0 || correlation_.elsewhere.gone.contains(before.target_piece)) &&
           (after.target_piece < 0 || has_origin(after));
  }

  // Unnamed tables of several functions follow each other in one piece, and nothing says where one
  // ends. Where all that both sides have is the same, so is what the same code reads of it.
  bool same_start(const Piece& left, const Piece& right, std::int64_t offset) const {
    ByteView x = pre_.graph.bytes(left);
    ByteView y = post_.graph.bytes(right);
    const std::size_t common = std::min(x.size(), y.size());
    return left.kind == PieceKind::data && left.name.empty() && right.kind == left.kind &&
           right.name.empty() && left.references.empty() && right.references.empty() &&
           offset >= 0 && static_cast<std::size_t>(offset) < common &&
           std::ranges::equal(x.first(common), y.first(common));
  }

  bool copyable(std::int32_t post_piece) const {
    return is_copyable(post_.graph, post_.graph.piece(post_piece));
  }

  bool same_tables(std::int32_t a, std::int32_t b) {
    const auto& left = pre_.tables.of(a);
    const auto& right = post_.tables.of(b);
    return std::ranges::equal(left, right, [&](const TableEntry& x, const TableEntry& y) {
      const elf::Section& from = pre_.graph.object().sections()[x.section];
      const elf::Section& to = post_.graph.object().sections()[y.section];
      return from.name == to.name && x.size == y.size &&
             std::memcmp(from.data.data() + x.offset, to.data.data() + y.offset, x.size) == 0 &&
             same_references(x.references, y.references);
    });
  }

  const Side& pre_;
  const Side& post_;
  const Correlation& correlation_;
  std::set<std::pair<std::int32_t, std::int32_t>> assumed_;
};

}  // namespace

std::optional<std::string_view> text_at(const PieceGraph& graph, const Reference& reference) {
  if (reference.target_piece < 0 || reference.target_offset < 0) {
    return std::nullopt;
  }
  const Piece& piece = graph.piece(reference.target_piece);
  if (piece.kind != PieceKind::string) {
    return std::nullopt;
  }
  return read_cstr(graph.bytes(piece), static_cast<std::uint64_t>(reference.target_offset));
}

bool is_copyable(const PieceGraph& graph, const Piece& piece) {
  if (piece.kind == PieceKind::string || piece.kind == PieceKind::constant ||
      piece.kind == PieceKind::blob) {
    return true;
  }
  if (piece.kind != PieceKind::data) {
    return false;
  }
  const elf::Section& section = graph.section_of(piece);
  if (section.name == "__dyndbg" || section.name == ".printk_index") {
    return true;  // descriptors belong to the code that uses them
  }
  bool read_only = (section.flags & SHF_WRITE) == 0 || section.name.starts_with(".data.rel.ro");
  std::string base = base_name(piece.name);
  return read_only && (piece.name.empty() || base == "__func__" || base == "__PRETTY_FUNCTION__" ||
                       base == "_entry" || base == "CSWTCH" || piece.name.starts_with(".L") ||
                       piece.name.starts_with("C."));
}

bool equal(const Side& pre, const Side& post, const Correlation& correlation,
           std::int32_t pre_piece, std::int32_t post_piece) {
  return Comparer(pre, post, correlation).same_piece(pre_piece, post_piece);
}

}  // namespace suture::diff
