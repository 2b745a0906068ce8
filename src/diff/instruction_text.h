// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be read off the text of an instruction (elf::Arch::text): numbers and registers.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "diff/pieces.h"

namespace suture::diff {

std::string text_of(const PieceGraph& graph, const Piece& piece, const elf::Instruction& insn);
// The reference lies in the instruction.
bool holds(const elf::Instruction& insn, const Reference& reference);
// The first number in the text; 0 where it has none, or a negative one.
std::uint64_t number_of(std::string_view text);
// The displacement of its place in memory, which is not the stack's; 0 where it has none.
std::uint64_t place_in(std::string_view text);
bool writes_memory(std::string_view text);
// "ax" of "%rax" and of "%eax", "12" of "%r12" and of "%r12d".
std::string_view register_of(std::string_view operand);

// The registers that hold a value, followed in the order of the code, and by jumps forward.
class Copies {
 public:
  Copies(const PieceGraph& graph, const Piece& piece, std::string_view first)
      : graph_(graph), piece_(piece), registers_{std::string(first)} {}

  bool has(std::string_view name) const { return registers_.contains(name); }
  // Takes in what jumps to the instruction.
  void come_to(const elf::Instruction& insn);
  // True where the instruction stores the value, in a global or by a register other than the
  // stack's, or returns it.
  bool step(const elf::Instruction& insn);

 private:
  using Registers = std::set<std::string, std::less<>>;
  bool is_return(const elf::Instruction& insn) const;

  const PieceGraph& graph_;
  const Piece& piece_;
  Registers registers_;
  std::map<std::uint64_t, Registers> jumped_with_;  // to an offset
};

}  // namespace suture::diff
