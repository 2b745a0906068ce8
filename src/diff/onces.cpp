// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: DO_ONCE() makes static locals of one name wherever it stands, ___done and ___once_key.
// Nothing in them says which once they are. Taken for another's, a variable would never be filled,
// or be filled a second time under the feet of those who go by it.
//
// Method: the code that does it is the same everywhere: it calls the function with the variable's
// address, and then __do_once_done() with the flag's and the key's. So walk back from that call
// over the references: first the once's own, then the call before it, then the last address of
// writable data that is made ready for that one.
//
// Invariant: a key that code in several places uses (of an inlined function) has one variable in
// all of them, or is not known.
#include "diff/onces.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "diff/code_numbers.h"

namespace suture::diff {

namespace {

constexpr std::string_view key_name = "___once_key";
constexpr std::string_view flag_name = "___done";

bool ends_a_once(std::string_view function) {
  return function == "__do_once_done" || function == "__do_once_sleepable_done" ||
         function == "__do_once_slow_done";
}

bool starts_a_once(std::string_view function) { return function.starts_with("__do_once_"); }

bool is_data(const PieceGraph& graph, const Reference& reference, std::string_view base) {
  return reference.target_piece >= 0 &&
         graph.piece(reference.target_piece).kind == PieceKind::data &&
         base_name(graph.piece(reference.target_piece).name) == base;
}

// What may be filled: writable data of this file, or a thing of another file. A module's own
// structure is what __do_once_done() takes, too.
bool may_be_filled(const PieceGraph& graph, const Reference& reference) {
  if (reference.is_branch || !reference.takes_address) {
    return false;
  }
  if (reference.target_piece < 0) {
    return name_of(graph, reference) != "__this_module";
  }
  const Piece& target = graph.piece(reference.target_piece);
  return target.kind == PieceKind::data && !target.name.empty() &&
         (graph.section_of(target).flags & SHF_WRITE) != 0;
}

struct Found {
  std::int32_t key = -1;
  Once once;
};

// The once whose end is called at `end`.
Found read_back(const PieceGraph& graph, const std::vector<Reference>& all, std::size_t end) {
  Found out;
  bool called = false;
  for (std::size_t i = end; i-- > 0;) {
    const Reference& reference = all[i];
    const std::string_view name = name_of(graph, reference);
    if (!called && is_data(graph, reference, key_name)) {
      out.key = reference.target_piece;
    } else if (!called && is_data(graph, reference, flag_name)) {
      out.once.done = reference.target_piece;
    } else if (reference.is_branch) {
      if (called || starts_a_once(name)) {
        return out;
      }
      called = true;
      out.once.function = name;
    } else if (called && may_be_filled(graph, reference)) {
      out.once.filled = reference.target_piece;
      out.once.name = reference.target_piece < 0 ? name : std::string_view{};
      out.once.place = reference.target_offset;
      return out;
    }
  }
  return out;
}

bool same(const Once& a, const Once& b) {
  return a.done == b.done && a.filled == b.filled && a.name == b.name && a.place == b.place &&
         a.function == b.function;
}

}  // namespace

std::map<std::int32_t, Once> onces_of(const PieceGraph& graph) {
  std::map<std::int32_t, Once> out;
  std::set<std::int32_t> unknown;
  for (const Piece& piece : graph.pieces()) {
    if (piece.kind != PieceKind::function) {
      continue;
    }
    for (std::size_t i = 0; i < piece.references.size(); ++i) {
      const Reference& call = piece.references[i];
      if (!call.is_branch || !ends_a_once(name_of(graph, call))) {
        continue;
      }
      Found found = read_back(graph, piece.references, i);
      if (found.key < 0) {
        continue;
      }
      found.once.only_fills = found.once.function == "get_random_bytes" ||
                              found.once.function == "get_random_bytes_wait" ||
                              found.once.function == "prandom_seed_full_state";
      const bool told =
          found.once.done >= 0 && (found.once.filled >= 0 || !found.once.name.empty());
      auto [at, is_new] = out.emplace(found.key, found.once);
      if (!told || (!is_new && !same(at->second, found.once))) {
        unknown.insert(found.key);
      }
    }
  }
  for (std::int32_t key : unknown) {
    out.erase(key);
  }
  return out;
}

namespace {

// Of a function that fills one thing: with how many bytes. By the key.
std::map<std::int32_t, std::uint64_t> lengths_of(const PieceGraph& graph,
                                                 const std::map<std::int32_t, Once>& onces) {
  std::map<std::int32_t, std::uint64_t> out;
  for (const auto& [key, once] : onces) {
    for (const Piece& piece : graph.pieces()) {
      if (piece.kind != PieceKind::function || !once.only_fills ||
          std::ranges::find(piece.references, key, &Reference::target_piece) ==
              piece.references.end()) {
        continue;
      }
      std::vector<NamedCall> calls =
          calls_in(graph, piece, graph.arch().decode(graph.bytes(piece)));
      std::erase_if(calls, [&](const NamedCall& call) { return call.to != once.function; });
      if (calls.size() == 1 && calls[0].given.contains("si")) {
        out.emplace(key, calls[0].given.at("si"));
      }
    }
  }
  return out;
}

}  // namespace

void note_lengths_of_onces(const PieceGraph& pre, const PieceGraph& post, ObjectDiff& out) {
  const auto onces = onces_of(post);
  if (onces.empty()) {
    return;
  }
  const auto before = lengths_of(pre, onces_of(pre));
  for (const auto& [key, is] : lengths_of(post, onces)) {
    const auto was = before.find(out.correlation.pre_of[static_cast<std::size_t>(key)]);
    if (was == before.end() || was->second == is) {
      continue;
    }
    const Once& once = onces.at(key);
    out.add_note(fmt::format(
        "{} is filled once, with {} bytes instead of {}: where the running kernel has done that, "
        "it stays as it is",
        once.filled >= 0 ? post.piece(once.filled).name : once.name, is, was->second));
  }
}

bool is_key_of_a_once(std::string_view base) { return base == key_name; }

}  // namespace suture::diff
