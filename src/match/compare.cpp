// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say whether code was compiled from the same source, though linked fields hold addresses,
// the assembler chose short jumps where it knew the distance, alignment padding moved with them,
// and static branches may have been rewritten.
//
// Method: most functions are the same bytes outside their relocated fields; then they are the same
// instructions, and nothing needs to be decoded. Only where a byte differs are both sides decoded
// in step: padding is skipped on either side, a branch must be the same branch whatever its width,
// a static branch must be one in both, with the same key and target, and every other instruction
// must have the same bytes. Branches inside the function must arrive at corresponding instructions.
// Either way each relocated field gives an equation for what it refers to.
//
// A place inside another function (a .cold part jumps back into its function) may have moved there
// for the same reasons: its start follows from its name, and the place is checked when that
// function has matched.
//
// What follows the last instruction in the run does not matter: it may be padding, or the body of a
// weak function whose name the linker dropped, and nothing that matched goes there.
//
// Invariant: nothing is skipped but NOPs, so what matches does the same.
#include "match/compare.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace suture::match {

using diff::Piece;
using diff::PieceKind;
using diff::Reference;

namespace {

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

bool equal_bytes(ByteView a, ByteView b, std::uint64_t from, std::uint64_t to) {
  return std::memcmp(a.data() + from, b.data() + from, to - from) == 0;
}

}  // namespace

Comparer::Comparer(const diff::PieceGraph& pre, const RunObject& run)
    : pre_(pre), run_(run), sites_(pre, run), solved_(things()) {}

std::string_view Comparer::name_of(Thing thing) const {
  const std::size_t pieces = pre_.pieces().size();
  return thing < pieces ? pre_.pieces()[thing].name : pre_.object().symbols()[thing - pieces].name;
}

// Enters one equation; false when the candidate contradicts itself.
bool Comparer::enter(Thing thing, std::uint64_t address) {
  Solved& solved = solved_[thing];
  if (solved.attempt == attempt_) {
    return solved.address == address;
  }
  solved = Solved{attempt_, address};
  out_.equations.push_back(Equation{thing, address});
  return true;
}

bool Comparer::solve(const Reference& reference, std::uint64_t points_at) {
  std::uint64_t start = points_at - static_cast<std::uint64_t>(reference.target_offset);
  if (reference.target_piece < 0) {
    return enter(static_cast<Thing>(pre_.pieces().size() + reference.symbol), start);
  }
  const Piece& target = pre_.piece(reference.target_piece);
  // Merged strings and constants have no address of their own: the linker folds equal ones.
  if (target.kind == PieceKind::string || target.kind == PieceKind::constant) {
    return same_content(reference, points_at);
  }
  if (target.kind == PieceKind::blob) {
    return true;
  }
  if (target.kind == PieceKind::function && reference.target_offset > 0) {
    out_.insides.push_back(Inside{static_cast<Thing>(reference.target_piece),
                                  static_cast<std::uint64_t>(reference.target_offset), points_at});
    start = start_of(target, points_at, start);
  }
  return enter(static_cast<Thing>(reference.target_piece), start);
}

// Where the run's function of that name starts that holds the place `inside`.
std::uint64_t Comparer::start_of(const Piece& function, std::uint64_t inside,
                                 std::uint64_t expected) const {
  std::optional<std::uint64_t> start;
  for (std::uint32_t index : run_.symbols().find(function.name)) {
    std::uint64_t address = run_.symbols().all()[index].address;
    if (address <= inside && (!start || *start < address)) {
      start = address;
    }
  }
  return start.value_or(expected);
}

// A label names the string that it stands at, though the place meant may be that string's end and
// so the next one's start.
bool Comparer::same_content(const Reference& reference, std::uint64_t points_at) const {
  const Piece* target = &pre_.piece(reference.target_piece);
  const elf::Symbol& symbol = pre_.object().symbols()[reference.symbol];
  std::uint64_t start = points_at - static_cast<std::uint64_t>(reference.target_offset);
  if (symbol.type != STT_SECTION) {
    const Piece& named = pre_.piece(pre_.find(symbol.section, symbol.value));
    start -= target->offset - named.offset;
    target = &named;
  }
  ByteView bytes = pre_.bytes(*target);
  auto run = run_.at(start, bytes.size());
  return run && std::ranges::equal(*run, bytes);
}

// Where the field of `reference` at `offset` of the run's bytes points.
std::optional<std::uint64_t> Comparer::target_of(const Reference& reference, ByteView run,
                                                 std::uint64_t offset,
                                                 std::uint64_t address) const {
  auto kind = pre_.arch().relocation(reference.type);
  auto field = kind ? slice(run, offset, kind->size) : std::nullopt;
  if (!field) {
    return std::nullopt;
  }
  return pointed_at(*field, *kind, address + offset, reference.bias);
}

// Whether all bytes outside the fields are equal and all fields make sense.
bool Comparer::same_bytes(const Piece& piece, ByteView run, std::uint64_t address) {
  ByteView code = pre_.bytes(piece);
  if (run.size() < code.size()) {
    return false;
  }
  std::uint64_t done = 0;
  for (const Reference& reference : piece.references) {
    auto kind = pre_.arch().relocation(reference.type);
    auto target = target_of(reference, run, reference.offset, address);
    if (!target || reference.offset < done || !equal_bytes(code, run, done, reference.offset) ||
        !solve(reference, *target)) {
      return false;
    }
    done = reference.offset + kind->size;
  }
  return equal_bytes(code, run, done, code.size());
}

bool Comparer::only_padding(ByteView code) const {
  std::uint64_t offset = 0;
  while (offset < code.size()) {
    auto insn = pre_.arch().next(code, offset);
    if (!insn || !insn->is_nop) {
      return false;
    }
    offset += insn->length;
  }
  return true;
}

void Comparer::begin() {
  ++attempt_;
  out_ = Comparison{};
}

// Both sides decoded in step.
class Comparer::Walk {
 public:
  Walk(Comparer& comparer, std::int32_t piece, ByteView run, std::uint64_t address)
      : to_(comparer),
        piece_(piece),
        code_(comparer.pre_.bytes(comparer.pre_.piece(piece))),
        run_(run),
        address_(address),
        references_(comparer.pre_.piece(piece).references),
        sites_(comparer.sites_.of(piece)) {}

  bool go() {
    while (auto insn = to_.pre_.arch().next(code_, offset_)) {
      offset_ += insn->length;
      left_.push_back(Met{*insn});
      if (!step(left_.back())) {
        return false;
      }
    }
    note(offset_, run_offset_);
    if (offset_ != code_.size()) {
      return differ("the compiled code does not decode");
    }
    return std::ranges::all_of(jumps_, [&](const Jump& jump) { return arrives(jump); });
  }

  // After go(): does what is at `offset` run at `run_offset`?
  bool lands(std::uint64_t offset, std::uint64_t run_offset) {
    return arrives(Jump{.to = static_cast<std::int64_t>(offset),
                        .run_to = static_cast<std::int64_t>(run_offset)});
  }

 private:
  // An instruction of pre, and the one of the run that it met.
  struct Met {
    elf::Instruction insn;
    std::uint64_t run_offset = no_partner;
  };
  // A branch inside the function, and where it goes.
  struct Jump {
    std::uint64_t offset = 0, run_offset = 0;
    std::int64_t to = 0, run_to = 0;
  };
  static constexpr std::uint64_t no_partner = ~std::uint64_t{0};

  void note(std::uint64_t offset, std::uint64_t run_offset) {
    to_.out_.offset = offset;
    to_.out_.run_offset = run_offset;
  }
  bool differ(std::string_view reason) {
    to_.out_.reason = reason;
    return false;
  }

  std::span<const Reference> fields_of(const elf::Instruction& insn) {
    auto begin = references_.begin();
    auto end = std::ranges::find_if(references_, [&](const Reference& reference) {
      return reference.offset >= std::uint64_t{insn.offset} + insn.length;
    });
    references_ = {end, references_.end()};
    return {begin, end};
  }

  bool step(Met& left) {
    std::span<const Reference> fields = fields_of(left.insn);
    if (!sites_.empty() && sites_.front().offset == left.insn.offset) {
      const JumpSite& site = sites_.front();
      sites_ = sites_.subspan(1);
      return static_branch(left, site);
    }
    if (left.insn.is_nop) {
      return true;
    }
    auto right = to_.pre_.arch().next(run_, run_offset_);
    while (right && right->is_nop) {
      run_offset_ += right->length;
      right = to_.pre_.arch().next(run_, run_offset_);
    }
    note(left.insn.offset, run_offset_);
    if (!right) {
      return differ("the running function is shorter");
    }
    left.run_offset = run_offset_;
    run_offset_ += right->length;
    return left.insn.is_branch && right->is_branch ? branch(left.insn, *right, fields)
                                                   : other(left.insn, *right, fields);
  }

  // Padding may stand before the site, so it is looked for among the NOPs and the jump that follow.
  bool static_branch(Met& left, const JumpSite& site) {
    note(left.insn.offset, run_offset_);
    for (std::uint64_t at = run_offset_;;) {
      auto right = to_.pre_.arch().next(run_, at);
      if (!right) {
        break;
      }
      if (auto found = to_.sites_.at(address_ + at)) {
        note(left.insn.offset, at);
        left.run_offset = at;
        run_offset_ = at + right->length;
        return branch_table_entry(left, site, *found);
      }
      if (!right->is_nop) {
        break;
      }
      at += right->length;
    }
    return differ("the running kernel has no static branch here");
  }

  bool branch_table_entry(const Met& left, const JumpSite& site, const RunJumpSite& found) {
    if (!to_.solve(site.key, found.key)) {
      return differ("the static branch has another key");
    }
    return refers(site.target, found.target, left.insn.offset, left.run_offset) ||
           differ("the static branch goes elsewhere");
  }

  bool branch(const elf::Instruction& left, const elf::Instruction& right,
              std::span<const Reference> fields) {
    if (left.operation != right.operation) {
      return differ("the instructions differ");
    }
    if (fields.empty()) {
      jumps_.push_back(Jump{left.offset, right.offset, left.target, right.target});
      return true;  // checked when all places are known
    }
    std::uint64_t target = address_ + static_cast<std::uint64_t>(right.target);
    return refers(fields.front(), target, left.offset, right.offset) ||
           differ("the branch goes elsewhere");
  }

  // A place inside the function may have moved; it is checked when all places are known.
  bool refers(const Reference& reference, std::uint64_t target, std::uint64_t offset,
              std::uint64_t run_offset) {
    if (reference.target_piece == piece_ && reference.target_offset != 0) {
      jumps_.push_back(Jump{offset, run_offset, reference.target_offset,
                            static_cast<std::int64_t>(target - address_)});
      return true;
    }
    return to_.solve(reference, target);
  }

  bool other(const elf::Instruction& left, const elf::Instruction& right,
             std::span<const Reference> fields) {
    if (left.length != right.length) {
      return differ("the instructions differ");
    }
    std::uint64_t done = 0;  // bytes of the instruction that have been compared
    ByteView a = code_.subspan(left.offset, left.length);
    ByteView b = run_.subspan(right.offset, right.length);
    for (const Reference& reference : fields) {
      auto kind = to_.pre_.arch().relocation(reference.type);
      std::uint64_t field = reference.offset - left.offset;
      if (!kind || field < done || field + kind->size > left.length) {
        return differ("a field of a kind that is not understood");
      }
      if (!equal_bytes(a, b, done, field)) {
        return differ("the instructions differ");
      }
      auto target = to_.target_of(reference, run_, right.offset + field, address_);
      if (!target || !refers(reference, *target, left.offset, right.offset)) {
        return differ("it refers to something else");
      }
      done = field + kind->size;
    }
    return equal_bytes(a, b, done, left.length) || differ("the instructions differ");
  }

  // The jump's target in pre, padding skipped, must have met the jump's target in the run.
  bool arrives(const Jump& jump) {
    note(jump.offset, jump.run_offset);
    auto target = std::ranges::lower_bound(
        left_, jump.to, {}, [](const Met& met) { return std::int64_t{met.insn.offset}; });
    bool starts = target != left_.end() && target->insn.offset == jump.to;
    target = std::find_if(target, left_.end(),
                          [](const Met& met) { return met.run_offset != no_partner; });
    if (!starts || target == left_.end() || jump.run_to < 0) {
      return differ("a jump inside the function goes elsewhere");
    }
    // From the run's target on, nothing but padding may come before the partner.
    auto to = static_cast<std::uint64_t>(jump.run_to);
    bool met =
        to <= target->run_offset && to_.only_padding(run_.subspan(to, target->run_offset - to));
    return met || differ("a jump inside the function goes elsewhere");
  }

  Comparer& to_;
  std::int32_t piece_;
  ByteView code_, run_;
  std::uint64_t address_;
  std::span<const Reference> references_;  // those that were not passed yet
  std::span<const JumpSite> sites_;        // the same
  std::uint64_t offset_ = 0, run_offset_ = 0;
  std::vector<Met> left_;
  std::vector<Jump> jumps_;
};

ByteView running_function(const diff::PieceGraph& pre, const RunObject& run,
                          const diff::Piece& function, std::uint64_t address) {
  ByteView code = run.function_at(address, function.size, {});
  if (code.size() >= function.size) {
    return code;
  }
  std::vector<std::string_view> labels;
  for (const elf::Symbol& symbol : pre.object().symbols()) {
    if (symbol.section == function.section && symbol.type == STT_NOTYPE &&
        symbol.value > function.offset && symbol.value < function.offset + function.size) {
      labels.push_back(symbol.name);
    }
  }
  return run.function_at(address, function.size, labels);
}

Comparison Comparer::function(std::int32_t piece, std::uint64_t address) {
  const Piece& function = pre_.piece(piece);
  ByteView run = running_function(pre_, run_, function, address);
  begin();
  enter(static_cast<Thing>(piece), address);
  if (run.empty()) {
    out_.reason = "the symbol lies where the image holds nothing";
    return std::move(out_);
  }
  out_.matched = same_bytes(function, run, address);
  if (!out_.matched) {
    begin();
    enter(static_cast<Thing>(piece), address);
    out_.matched = Walk(*this, piece, run, address).go();
  }
  return std::move(out_);
}

bool Comparer::lands(std::int32_t piece, std::uint64_t address, std::uint64_t offset,
                     std::uint64_t run_offset) {
  const Piece& function = pre_.piece(piece);
  ByteView run = running_function(pre_, run_, function, address);
  begin();
  enter(static_cast<Thing>(piece), address);
  if (same_bytes(function, run, address)) {
    return offset == run_offset;
  }
  begin();
  enter(static_cast<Thing>(piece), address);
  Walk walk(*this, piece, run, address);
  return walk.go() && walk.lands(offset, run_offset);
}

Comparison Comparer::data(std::int32_t piece, std::uint64_t address) {
  const Piece& variable = pre_.piece(piece);
  begin();
  auto run = run_.at(address, variable.size);
  out_.matched = run && pre_.bytes(variable).size() == variable.size && variable.size != 0 &&
                 same_bytes(variable, *run, address);
  for (const Inside& inside : out_.insides) {
    out_.matched = out_.matched && solved_[inside.thing].address + inside.offset == inside.address;
  }
  return std::move(out_);
}

}  // namespace suture::match
