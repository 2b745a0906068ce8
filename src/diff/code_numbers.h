// SPDX-License-Identifier: GPL-2.0-or-later
//
// The numbers by which code goes: sizes of what it allocates, and limits and masks of what it looks
// into. Two functions may go by one number of the source.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diff/pieces.h"

namespace suture::diff {

// Numbers, and how often code has each: what it loses once may be there for something else, too.
using CountedNumbers = std::map<std::uint64_t, int>;

struct CodeNumbers {
  // But for those that every other function has: small ones that are no limits, error codes, and
  // flags for allocations.
  CountedNumbers numbers;
  CountedNumbers shifts;  // to the right: what is left of a hash is a place in a table
  CountedNumbers places;  // in an object that it writes to: the last of a buffer that it clears
  int bytes_taken = 0;    // how often it takes the lowest byte: 255 without a number
};
CodeNumbers numbers_in(const PieceGraph& graph, const Piece& piece,
                       const std::vector<elf::Instruction>& code);
// A call of a function by its name, with the constants that it is given.
struct NamedCall {
  std::string_view to;
  std::map<std::string, std::uint64_t, std::less<>> given;  // by register: "di", "si", "dx"
  std::size_t index = 0;                                    // of the instruction
};
std::vector<NamedCall> calls_in(const PieceGraph& graph, const Piece& piece,
                                const std::vector<elf::Instruction>& code);
// What the call gives back is stored or returned.
bool keeps_result(const PieceGraph& graph, const Piece& piece,
                  const std::vector<elf::Instruction>& code, const NamedCall& call);
// What the function gives as a size to those that give out memory, where it keeps what they give.
CountedNumbers allocated_sizes(const PieceGraph& graph, const Piece& piece,
                               const std::vector<elf::Instruction>& code);

// A number that goes with one that comes.
struct NumberChange {
  std::uint64_t was = 0;
  std::uint64_t is = 0;
  enum class Kind : std::uint8_t { number, shift, place } kind = Kind::number;

  // What was made by the old number is too small; or it is found by another mask.
  bool does_harm() const;
};
using ChangedNumbers = std::vector<NumberChange>;

// Each number that code has less often with each that it has more often.
ChangedNumbers changed_numbers(const CountedNumbers& before, const CountedNumbers& after);
// The same of shifts, places and masks, too.
ChangedNumbers changed_limits(const CodeNumbers& before, const CodeNumbers& after);

// The numbers that differ at the same places of constant data.
ChangedNumbers changed_data(const PieceGraph& pre, const Piece& before, const PieceGraph& post,
                            const Piece& after);

struct SharedNumber {
  NumberChange size;   // where it is made
  NumberChange limit;  // where it is used
};
// The first of the limits that changes as a size does.
std::optional<SharedNumber> shared_number(const ChangedNumbers& sizes,
                                          const ChangedNumbers& limits);

}  // namespace suture::diff
