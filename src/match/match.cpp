// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: pre was compiled by us, one function a section; run was compiled by the distribution and
// linked. Several symbols of one name may be candidates for a function, and what a field refers to
// is only known by its value.
//
// Method: compare each function with every run symbol of its name (compare.h), once. Each candidate
// that has the same code states equations for the addresses of what it refers to. Functions with
// one candidate go first; their equations decide between the candidates of others (a function
// called from a matched one is where the call says), and so do the pointers in variables whose
// address is known and whose content is the one that was compiled. What is still undecided is the
// candidate among the object's other functions: the linker keeps an object's code together.
//
// Invariants: an address once solved is never changed, and a name that the running kernel knows is
// never believed to be where the kernel has no symbol of that name. A candidate whose equations
// contradict either is no match, so two different addresses for one thing cannot be believed.
#include "match/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "match/compare.h"

namespace suture::match {

namespace {

using diff::Piece;
using diff::PieceKind;

struct Candidate {
  std::uint32_t symbol = 0;
  std::uint64_t address = 0;
  std::vector<Equation> equations;
  std::vector<Inside> insides;
};

// A function that is not settled yet, and the places that have its code.
struct Pending {
  std::int32_t piece = -1;
  std::vector<Candidate> candidates;
  Mismatch best;
};

class Matcher {
 public:
  Matcher(const diff::PieceGraph& pre, const RunObject& run)
      : pre_(pre), run_(run), comparer_(pre, run), solved_(comparer_.things()) {}

  MatchResult go() {
    collect();
    // Each round may solve addresses that decide between candidates in the next.
    for (bool progress = true; progress;) {
      progress = std::erase_if(pending_, [&](Pending& one) { return settle(one); }) > 0;
      progress = read_data() || progress;
      progress = progress || settle_by_neighbours();
    }
    for (Pending& one : pending_) {
      report_mismatch(std::move(one.best));
    }
    check_insides();
    report_addresses();
    return std::move(result_);
  }

 private:
  // Unambiguous names first: what they solve spares the comparison with wrong candidates.
  void collect() {
    std::vector<std::int32_t> ambiguous;
    for (std::size_t i = 0; i < pre_.pieces().size(); ++i) {
      const Piece& piece = pre_.pieces()[i];
      auto index = static_cast<std::int32_t>(i);
      if (piece.kind == PieceKind::function &&
          !diff::is_init_section(pre_.section_of(piece).name)) {
        ++result_.of;
        if (run_.symbols().find(piece.name).size() > 1) {
          ambiguous.push_back(index);
        } else {
          add(index);
        }
      }
    }
    for (std::int32_t index : ambiguous) {
      add(index);
    }
  }

  void add(std::int32_t index) {
    const Piece& piece = pre_.piece(index);
    Pending pending{
        .piece = index,
        .best = {.piece = index, .reason = "the running kernel has no function of that name"}};
    const auto& known = solved_[static_cast<Thing>(index)];
    for (std::uint32_t symbol : run_.symbols().find(piece.name)) {
      std::uint64_t address = run_.symbols().all()[symbol].address;
      if (known && *known != address) {
        continue;
      }
      // A strong one took its place, which may have the same code.
      if (is_weak(piece) && run_.symbols().all()[symbol].is_global() && !run_.is_weak(symbol)) {
        pending.best =
            Mismatch{.piece = index, .kind = Mismatch::Kind::different, .address = address};
        continue;
      }
      Comparison comparison = comparer_.function(index, address);
      if (comparison.matched) {
        pending.candidates.push_back(
            {symbol, address, std::move(comparison.equations), std::move(comparison.insides)});
      } else {
        keep_best(pending.best, comparison, address);
      }
    }
    if (!settle(pending)) {
      pending_.push_back(std::move(pending));
    }
  }

  bool is_weak(const Piece& piece) const {
    return pre_.object().symbols()[piece.symbol].binding == STB_WEAK;
  }

  static void keep_best(Mismatch& best, const Comparison& comparison, std::uint64_t address) {
    if (best.kind == Mismatch::Kind::missing || comparison.offset > best.offset) {
      best = Mismatch{best.piece,        Mismatch::Kind::different, address,
                      comparison.offset, comparison.run_offset,     std::string(comparison.reason)};
    }
  }

  // Accepts the one candidate that agrees with everything known.
  bool settle(Pending& pending) {
    std::erase_if(pending.candidates, [&](const Candidate& candidate) {
      const Equation* wrong = contradiction(candidate.equations);
      if (wrong != nullptr) {
        pending.best = Mismatch{.piece = pending.piece,
                                .kind = Mismatch::Kind::different,
                                .address = candidate.address,
                                .reason = wrong_place(*wrong)};
      }
      return wrong != nullptr;
    });
    if (pending.candidates.size() == 1) {
      const Candidate& one = pending.candidates[0];
      result_.functions[pending.piece] = FunctionMatch{pending.piece, one.address, one.symbol};
      believe(one.equations);
      for (const Inside& inside : one.insides) {
        insides_.emplace_back(pending.piece, inside);
      }
      return true;
    }
    if (pending.candidates.size() > 1) {
      pending.best = Mismatch{
          .piece = pending.piece,
          .kind = Mismatch::Kind::ambiguous,
          .address = pending.candidates[0].address,
          .reason = fmt::format("{} places in the running kernel fit", pending.candidates.size())};
    }
    return false;
  }

  // Only functions of plain .text count: other groups of sections lie elsewhere.
  bool in_plain_text(std::int32_t index) const {
    const Piece& piece = pre_.piece(index);
    const std::string& section = pre_.section_of(piece).name;
    return section == ".text" || section == fmt::format(".text.{}", piece.name);
  }

  // Where the object's code lies, as far as it was matched; nothing where that is no one stretch.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> stretch() const {
    std::uint64_t low = ~std::uint64_t{0};
    std::uint64_t high = 0;
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < pre_.pieces().size(); ++i) {
      auto index = static_cast<std::int32_t>(i);
      if (pre_.piece(index).kind != PieceKind::function || !in_plain_text(index)) {
        continue;
      }
      most += pre_.piece(index).size + most_padding;
      if (auto it = result_.functions.find(index); it != result_.functions.end()) {
        low = std::min(low, it->second.address);
        high = std::max(high, it->second.address);
      }
    }
    return low < high && high - low <= most ? std::optional(std::pair(low, high)) : std::nullopt;
  }

  // Drops the candidates that lie outside the object's stretch where one lies inside.
  bool settle_by_neighbours() {
    auto range = pending_.empty() ? std::nullopt : stretch();
    if (!range) {
      return false;
    }
    bool progress = false;
    for (Pending& pending : pending_) {
      auto inside = [&](const Candidate& candidate) {
        return candidate.address > range->first && candidate.address < range->second;
      };
      if (pending.candidates.size() > 1 && in_plain_text(pending.piece) &&
          std::ranges::count_if(pending.candidates, inside) == 1) {
        std::erase_if(pending.candidates, std::not_fn(inside));
        progress = true;
      }
    }
    return progress;
  }

  std::string wrong_place(const Equation& equation) const {
    const auto& solved = solved_[equation.thing];
    return solved ? fmt::format("it refers to {} at {:#x}, but the rest of the object to {:#x}",
                                comparer_.name_of(equation.thing), equation.address, *solved)
                  : fmt::format("it refers to {} at {:#x}, where the running kernel has none",
                                comparer_.name_of(equation.thing), equation.address);
  }

  const Equation* contradiction(const std::vector<Equation>& equations) const {
    auto wrong = std::ranges::find_if(equations, [&](const Equation& equation) {
      const auto& solved = solved_[equation.thing];
      return solved ? *solved != equation.address : !plausible(equation);
    });
    return wrong == equations.end() ? nullptr : &*wrong;
  }

  // A name that the running kernel has is at one of the places where it has it.
  bool plausible(const Equation& equation) const {
    std::string_view name = comparer_.name_of(equation.thing);
    if (name.empty()) {
      return true;
    }
    const kernel::SymbolTable& symbols = run_.symbols();
    auto named = symbols.find(name);
    if (std::ranges::any_of(named, [&](std::uint32_t index) {
          return symbols.all()[index].address == equation.address;
        })) {
      return true;
    }
    if (equation.thing >= pre_.pieces().size() && named.empty()) {
      auto outside = run_.outside(name);
      return !outside || *outside == equation.address;
    }
    // A static local's number may be another one in the distribution's compile.
    std::string base = diff::base_name(name);
    if (base == name) {
      return named.empty();
    }
    std::vector<std::uint32_t> there = symbols.at(equation.address);
    return there.empty() || std::ranges::any_of(there, [&](std::uint32_t index) {
             return diff::base_name(symbols.all()[index].name) == base;
           });
  }

  void believe(const std::vector<Equation>& equations) {
    for (const Equation& equation : equations) {
      auto& solved = solved_[equation.thing];
      if (!solved && equation.thing < pre_.pieces().size()) {
        new_pieces_.push_back(static_cast<std::int32_t>(equation.thing));
      }
      solved = equation.address;
    }
  }

  // Pointers in variables that were found: true where they told anything new.
  bool read_data() {
    bool progress = false;
    for (std::vector<std::int32_t> found = std::exchange(new_pieces_, {}); !found.empty();
         found = std::exchange(new_pieces_, {})) {
      for (std::int32_t index : found) {
        const Piece& piece = pre_.piece(index);
        if (piece.kind != PieceKind::data || piece.references.empty() ||
            diff::is_init_section(pre_.section_of(piece).name)) {
          continue;
        }
        Comparison content = comparer_.data(index, *solved_[static_cast<Thing>(index)]);
        if (content.matched && contradiction(content.equations) == nullptr) {
          believe(content.equations);
          progress = true;
        }
      }
    }
    return progress;
  }

  // Jumps from one function into another, when both have their places.
  void check_insides() {
    for (const auto& [from, inside] : insides_) {
      auto matched = result_.functions.find(from);
      if (matched == result_.functions.end() || lands(inside)) {
        continue;
      }
      report_mismatch(Mismatch{.piece = from,
                               .kind = Mismatch::Kind::different,
                               .address = matched->second.address,
                               .reason = fmt::format("it refers to another place in {}",
                                                     comparer_.name_of(inside.thing))});
      result_.functions.erase(matched);
    }
  }

  // A function that was not matched (init code) must have the place where pre has it.
  bool lands(const Inside& inside) {
    auto target = result_.functions.find(static_cast<std::int32_t>(inside.thing));
    if (target == result_.functions.end()) {
      return *solved_[inside.thing] + inside.offset == inside.address;
    }
    return comparer_.lands(target->first, target->second.address, inside.offset,
                           inside.address - target->second.address);
  }

  void report_mismatch(Mismatch mismatch) {
    const Piece& piece = pre_.piece(mismatch.piece);
    if (is_weak(piece) && mismatch.kind == Mismatch::Kind::different) {
      mismatch.kind = Mismatch::Kind::overridden;
      mismatch.reason = "it is weak, and the running kernel has another definition of that name";
      --result_.of;
    }
    result_.mismatches[mismatch.piece] = std::move(mismatch);
  }

  void report_addresses() {
    for (Thing thing = 0; thing < solved_.size(); ++thing) {
      if (!solved_[thing]) {
        continue;
      }
      if (thing < pre_.pieces().size()) {
        result_.addresses.emplace_hint(result_.addresses.end(), static_cast<std::int32_t>(thing),
                                       *solved_[thing]);
      } else {
        result_.externals.emplace(comparer_.name_of(thing), *solved_[thing]);
      }
    }
  }

  const diff::PieceGraph& pre_;
  const RunObject& run_;
  Comparer comparer_;
  std::vector<std::optional<std::uint64_t>> solved_;  // by thing
  std::vector<std::int32_t> new_pieces_;              // solved, and not looked at by read_data()
  std::vector<Pending> pending_;
  std::vector<std::pair<std::int32_t, Inside>> insides_;  // who refers there
  MatchResult result_;
};

}  // namespace

MatchResult match(const diff::PieceGraph& pre, const RunObject& run) {
  return Matcher(pre, run).go();
}

}  // namespace suture::match
