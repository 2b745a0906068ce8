// SPDX-License-Identifier: GPL-2.0-or-later
//
// Comparing one compiled function or variable with what lies at one address of the running kernel,
// and what follows for the addresses of everything that it refers to.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "diff/pieces.h"
#include "match/jump_sites.h"
#include "match/run_object.h"

namespace suture::match {

// Something that has an address: a piece of pre, or one of its undefined symbols. Pieces count
// first.
using Thing = std::uint32_t;

// `thing` starts at `address`, or the candidate is wrong.
struct Equation {
  Thing thing = 0;
  std::uint64_t address = 0;
};

// What is at `offset` of the function `thing` in pre runs at `address`, or the candidate is wrong.
struct Inside {
  Thing thing = 0;
  std::uint64_t offset = 0;
  std::uint64_t address = 0;
};

struct Comparison {
  bool matched = false;
  std::uint64_t offset = 0;      // of the first difference, in pre
  std::uint64_t run_offset = 0;  // and in the run
  std::string_view reason;       // one of a few fixed sentences
  std::vector<Equation> equations;
  std::vector<Inside> insides;  // of other functions, to be checked with lands()
};

// What may be of that compiled function at `address`; what its own labels name is within it.
ByteView running_function(const diff::PieceGraph& pre, const RunObject& run,
                          const diff::Piece& function, std::uint64_t address);

class Comparer {
 public:
  // Both must outlive it.
  Comparer(const diff::PieceGraph& pre, const RunObject& run);

  // Is the function at `address` the one that was compiled?
  Comparison function(std::int32_t piece, std::uint64_t address);
  // Is the place `offset` of that function, which matches at `address`, the one that runs at
  // `run_offset` of it?
  bool lands(std::int32_t piece, std::uint64_t address, std::uint64_t offset,
             std::uint64_t run_offset);
  // Is the variable's initial content at `address` the one that was compiled? Without content
  // (.bss) it is not.
  Comparison data(std::int32_t piece, std::uint64_t address);

  std::size_t things() const { return pre_.pieces().size() + pre_.object().symbols().size(); }
  std::string_view name_of(Thing thing) const;

 private:
  class Walk;
  struct Solved {
    std::uint32_t attempt = 0;  // which attempt the address is of
    std::uint64_t address = 0;
  };

  void begin();
  bool enter(Thing thing, std::uint64_t address);
  bool solve(const diff::Reference& reference, std::uint64_t points_at);
  std::uint64_t start_of(const diff::Piece& function, std::uint64_t inside,
                         std::uint64_t expected) const;
  std::optional<std::uint64_t> target_of(const diff::Reference& reference, ByteView run,
                                         std::uint64_t offset, std::uint64_t address) const;
  bool same_content(const diff::Reference& reference, std::uint64_t points_at) const;
  bool same_bytes(const diff::Piece& piece, ByteView run, std::uint64_t address);
  bool only_padding(ByteView code) const;

  const diff::PieceGraph& pre_;
  const RunObject& run_;
  JumpSites sites_;
  // The attempt that is being made.
  std::uint32_t attempt_ = 0;
  std::vector<Solved> solved_;  // by thing
  Comparison out_;
};

}  // namespace suture::match
