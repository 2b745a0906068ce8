// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: pre was compiled by us, one function a section; run was compiled by the distribution and
// linked. They should be the same instructions, but linked fields hold addresses, the assembler
// chose short jumps where it knew the distance, and alignment padding moved with them. Several
// symbols of one name may be candidates, and what a field refers to is only known by its value.
//
// Method: for each function, try every run symbol of its name. Decode both sides in step. Padding
// is skipped on either side; a branch must be the same kind of branch, its displacement's width
// aside; every other byte must be equal, except fields with a relocation, whose value in the run,
// minus what the relocation adds, is the address of the symbol: an equation per field. Branches
// inside the function must arrive at corresponding instructions. A candidate that survives
// contributes its equations; functions with one candidate go first, and their equations decide
// between the candidates of others (a function called from a matched one is where the call says).
//
// Invariants: an address once solved is never changed; a candidate whose equations contradict a
// solved address is no match. So two different addresses for one thing cannot be believed.
#include "match/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace suture::match {

namespace {

using diff::Piece;
using diff::PieceKind;
using diff::Reference;

// What one candidate says about where things are.
struct Equations {
  std::map<std::int32_t, std::uint64_t> pieces;
  std::map<std::string_view, std::uint64_t> externals;
};

struct Attempt {
  bool matched = false;
  std::uint64_t offset = 0;  // of the first difference
  std::string reason;
  Equations equations;
};

class Matcher {
 public:
  Matcher(const diff::PieceGraph& pre, const RunObject& run) : pre_(pre), run_(run) {}

  MatchResult run() {
    collect();
    // Each round may solve addresses that decide between candidates in the next.
    bool progress = true;
    while (progress) {
      progress = false;
      for (std::int32_t index : pending_) {
        if (!result_.functions.contains(index)) {
          progress = try_function(index) || progress;
        }
      }
    }
    return std::move(result_);
  }

 private:
  void collect() {
    for (std::size_t i = 0; i < pre_.pieces().size(); ++i) {
      const Piece& piece = pre_.pieces()[i];
      if (piece.kind == PieceKind::function &&
          !diff::is_init_section(pre_.section_of(piece).name)) {
        pending_.push_back(static_cast<std::int32_t>(i));
      }
    }
    result_.of = pending_.size();
    // Unambiguous names first: they solve addresses for the others.
    std::ranges::stable_sort(pending_, {}, [&](std::int32_t index) {
      return run_.symbols().find(pre_.piece(index).name).size();
    });
  }

  bool try_function(std::int32_t index) {
    const Piece& piece = pre_.piece(index);
    std::vector<std::pair<std::uint32_t, Attempt>> good;
    Mismatch best{.piece = index, .reason = "the running kernel has no function of that name"};
    auto solved = result_.addresses.find(index);
    for (std::uint32_t symbol : run_.symbols().find(piece.name)) {
      std::uint64_t address = run_.symbols().all()[symbol].address;
      if (solved != result_.addresses.end() && solved->second != address) {
        continue;
      }
      Attempt attempt = compare(piece, address);
      if (attempt.matched && contradicts(attempt.equations)) {
        attempt.matched = false;
        attempt.reason = "it refers to other things than the rest of the object does";
      }
      if (attempt.matched) {
        good.emplace_back(symbol, std::move(attempt));
      } else if (best.address == 0 || attempt.offset > best.offset) {
        best = Mismatch{index, address, attempt.offset, attempt.reason};
      }
    }
    if (good.size() != 1) {
      if (good.size() > 1) {
        best.reason = fmt::format("{} places in the running kernel fit", good.size());
      }
      result_.mismatches[index] = best;
      return false;
    }
    accept(index, good[0].first, good[0].second.equations);
    return true;
  }

  bool contradicts(const Equations& equations) const {
    return std::ranges::any_of(equations.pieces,
                               [&](const auto& pair) {
                                 auto it = result_.addresses.find(pair.first);
                                 return it != result_.addresses.end() && it->second != pair.second;
                               }) ||
           std::ranges::any_of(equations.externals, [&](const auto& pair) {
             auto it = result_.externals.find(pair.first);
             return it != result_.externals.end() && it->second != pair.second;
           });
  }

  void accept(std::int32_t index, std::uint32_t symbol, const Equations& equations) {
    std::uint64_t address = run_.symbols().all()[symbol].address;
    result_.functions[index] = FunctionMatch{index, address, symbol};
    result_.mismatches.erase(index);
    result_.addresses.try_emplace(index, address);
    for (const auto& [piece, where] : equations.pieces) {
      result_.addresses.try_emplace(piece, where);
    }
    for (const auto& [name, where] : equations.externals) {
      result_.externals.try_emplace(std::string(name), where);
    }
  }

  // Enters one field's equation; false when the candidate contradicts itself.
  bool solve(const Reference& reference, std::uint64_t points_at, Equations& equations) const {
    std::uint64_t start = points_at - static_cast<std::uint64_t>(reference.target_offset);
    if (reference.target_piece < 0) {
      std::string_view name = pre_.object().symbols()[reference.symbol].name;
      return equations.externals.try_emplace(name, start).first->second == start;
    }
    const Piece& target = pre_.piece(reference.target_piece);
    // Merged strings and constants have no address of their own: the linker folds equal ones.
    if (target.kind == PieceKind::string || target.kind == PieceKind::constant) {
      return same_content(target, reference.target_offset, points_at);
    }
    if (target.kind == PieceKind::blob) {
      return true;
    }
    return equations.pieces.try_emplace(reference.target_piece, start).first->second == start;
  }

  bool same_content(const Piece& target, std::int64_t offset, std::uint64_t address) const {
    ByteView bytes = pre_.bytes(target);
    if (offset < 0 || static_cast<std::uint64_t>(offset) > bytes.size()) {
      return false;
    }
    ByteView tail = bytes.subspan(static_cast<std::size_t>(offset));
    auto run = run_.at(address, tail.size());
    return run && std::ranges::equal(*run, tail);
  }

  Attempt compare(const Piece& piece, std::uint64_t address) const;
  bool compare_instruction(std::span<const Reference> fields, const elf::Instruction& a,
                           ByteView pre_bytes, const elf::Instruction& b, ByteView run_bytes,
                           std::uint64_t address, Attempt& attempt) const;

  const diff::PieceGraph& pre_;
  const RunObject& run_;
  std::vector<std::int32_t> pending_;
  MatchResult result_;
};

// Reads the value of a relocated field as the CPU or the kernel would: the address it points at.
std::uint64_t pointed_at(ByteView field, const elf::RelocationKind& kind, std::uint64_t place,
                         std::int32_t bias) {
  std::uint64_t value = 0;
  if (kind.size == 8) {
    value = read_le<std::uint64_t>(field, 0).value_or(0);
  } else if (kind.size == 4 && (kind.sign_extended || kind.pc_relative)) {
    value = static_cast<std::uint64_t>(std::int64_t{read_le<std::int32_t>(field, 0).value_or(0)});
  } else {
    value = read_le<std::uint32_t>(field, 0).value_or(0);
  }
  return kind.pc_relative ? place + value + static_cast<std::uint64_t>(bias) : value;
}

// One pair of instructions. Branches may differ in width; everything else has the same length.
bool Matcher::compare_instruction(std::span<const Reference> fields, const elf::Instruction& a,
                                  ByteView pre_bytes, const elf::Instruction& b, ByteView run_bytes,
                                  std::uint64_t address, Attempt& attempt) const {
  if (a.is_branch && b.is_branch) {
    if (a.is_call != b.is_call) {
      attempt.reason = "a call is a jump on the other side";
      return false;
    }
    if (!fields.empty()) {
      std::uint64_t points_at = address + static_cast<std::uint64_t>(b.target);
      if (!solve(fields.front(), points_at, attempt.equations)) {
        attempt.reason = "the branch goes elsewhere";
        return false;
      }
    }
    return true;  // a branch inside the function is checked when all places are known
  }
  if (a.length != b.length) {
    attempt.reason = "the instructions differ";
    return false;
  }
  Bytes x(pre_bytes.begin() + a.offset, pre_bytes.begin() + a.offset + a.length);
  Bytes y(run_bytes.begin() + b.offset, run_bytes.begin() + b.offset + b.length);
  for (const Reference& reference : fields) {
    auto kind = pre_.arch().relocation(reference.type);
    std::size_t field = reference.offset - a.offset;
    if (!kind || field + kind->size > x.size()) {
      attempt.reason = "a field of a kind that is not understood";
      return false;
    }
    std::uint64_t place = address + b.offset + field;
    std::uint64_t target =
        pointed_at(ByteView(y).subspan(field, kind->size), *kind, place, reference.bias);
    if (!solve(reference, target, attempt.equations)) {
      attempt.reason = "it refers to something else";
      return false;
    }
    std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(field), kind->size, std::uint8_t{0});
    std::fill_n(y.begin() + static_cast<std::ptrdiff_t>(field), kind->size, std::uint8_t{0});
  }
  if (x != y) {
    attempt.reason = "the instructions differ";
    return false;
  }
  return true;
}

// The number of the first instruction at or after `offset` that is no padding; instructions.size()
// for the end, nothing where `offset` is not where an instruction starts.
std::optional<std::size_t> landing(const std::vector<elf::Instruction>& instructions,
                                   std::int64_t offset) {
  auto it = std::ranges::lower_bound(instructions, offset, {}, [](const elf::Instruction& insn) {
    return std::int64_t{insn.offset};
  });
  if (it == instructions.end() || it->offset != offset) {
    return std::nullopt;
  }
  it = std::ranges::find_if(it, instructions.end(),
                            [](const elf::Instruction& insn) { return !insn.is_nop; });
  return static_cast<std::size_t>(it - instructions.begin());
}

Attempt Matcher::compare(const Piece& piece, std::uint64_t address) const {
  Attempt attempt;
  ByteView pre_bytes = pre_.bytes(piece);
  // The run side may be shorter (short jumps) but not longer than pre by more than padding.
  std::uint64_t room = pre_bytes.size() + 64;
  if (auto next = run_.symbols().next_address(address)) {
    room = std::min(room, *next - address);
  }
  ByteView run_bytes = run_.from(address, room);
  if (run_bytes.empty()) {
    attempt.reason = "the symbol lies where the image holds nothing";
    return attempt;
  }
  std::vector<elf::Instruction> left = pre_.arch().decode(pre_bytes);
  std::vector<elf::Instruction> right = pre_.arch().decode(run_bytes);
  std::vector<std::size_t> partner(left.size() + 1, right.size());  // left number → right number
  std::vector<std::pair<std::int64_t, std::int64_t>> jumps;
  auto reference = piece.references.begin();
  std::size_t k = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].is_nop) {
      continue;
    }
    while (k < right.size() && right[k].is_nop) {
      ++k;
    }
    attempt.offset = left[i].offset;
    if (k == right.size()) {
      attempt.reason = "the running function is shorter";
      return attempt;
    }
    partner[i] = k;
    auto end = reference;
    while (end != piece.references.end() &&
           end->offset < std::uint64_t{left[i].offset} + left[i].length) {
      ++end;
    }
    std::span<const Reference> fields(reference, end);
    reference = end;
    if (!compare_instruction(fields, left[i], pre_bytes, right[k], run_bytes, address, attempt)) {
      return attempt;
    }
    if (left[i].is_branch && fields.empty()) {
      jumps.emplace_back(left[i].target, right[k].target);
    }
    ++k;
  }
  for (const auto& [from, to] : jumps) {
    auto a = landing(left, from);
    auto b = landing(right, to);
    if (!a || !b || (*a < left.size() && partner[*a] != *b)) {
      attempt.reason = "a jump inside the function goes elsewhere";
      return attempt;
    }
  }
  attempt.matched = true;
  return attempt;
}

}  // namespace

MatchResult match(const diff::PieceGraph& pre, const RunObject& run) {
  return Matcher(pre, run).run();
}

}  // namespace suture::match
