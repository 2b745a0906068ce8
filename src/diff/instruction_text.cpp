// SPDX-License-Identifier: GPL-2.0-or-later
#include "diff/instruction_text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace suture::diff {

std::string text_of(const PieceGraph& graph, const Piece& piece, const elf::Instruction& insn) {
  return graph.arch().text(graph.bytes(piece).subspan(insn.offset, insn.length), 0);
}

bool holds(const elf::Instruction& insn, const Reference& reference) {
  return reference.offset >= insn.offset &&
         reference.offset < std::uint64_t{insn.offset} + insn.length;
}

std::uint64_t number_of(std::string_view text) {
  constexpr std::string_view prefix = "$0x";
  const std::size_t at = text.find(prefix);
  std::uint64_t value = 0;
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + prefix.size(), text.data() + text.size(), value, 16);
  }
  return value;
}

std::uint64_t place_in(std::string_view text) {
  const std::size_t open = text.find("(%");
  const std::size_t start = open == std::string_view::npos
                                ? std::string_view::npos
                                : text.substr(0, open).find_last_of(" ,:") + 1;
  std::uint64_t value = 0;
  if (start != std::string_view::npos && !text.contains("(%rsp") &&
      text.substr(start).starts_with("0x")) {
    std::from_chars(text.data() + start + 2, text.data() + open, value, 16);
  }
  return value;
}

bool writes_memory(std::string_view text) {
  const std::size_t comma = text.rfind(", ");
  return text.ends_with(')') && !text.starts_with("cmp") && !text.starts_with("test") &&
         comma != std::string_view::npos && text.find('(') > comma;
}

std::string_view register_of(std::string_view operand) {
  operand.remove_prefix(std::min<std::size_t>(2, operand.size()));
  return operand.ends_with('d') && operand.size() > 1 && operand[0] >= '0' && operand[0] <= '9'
             ? operand.substr(0, operand.size() - 1)
             : operand;
}

void Copies::come_to(const elf::Instruction& insn) {
  if (const auto at = jumped_with_.find(insn.offset); at != jumped_with_.end()) {
    registers_.insert(at->second.begin(), at->second.end());
  }
}

bool Copies::step(const elf::Instruction& insn) {
  constexpr std::array<std::string_view, 6> kept_over_calls{"bx", "bp", "12", "13", "14", "15"};
  const std::string line = text_of(graph_, piece_, insn);
  const std::string_view text = line;
  come_to(insn);
  if (has("ax") && (text.starts_with("ret") || is_return(insn))) {
    return true;
  }
  if (text.starts_with("call")) {
    std::erase_if(registers_, [&](const std::string& name) {
      return std::ranges::find(kept_over_calls, name) == kept_over_calls.end();
    });
    return false;
  }
  if (insn.is_branch) {
    if (insn.target > static_cast<std::int64_t>(insn.offset)) {
      jumped_with_[static_cast<std::uint64_t>(insn.target)].insert(registers_.begin(),
                                                                   registers_.end());
    }
    if (!insn.goes_on) {
      registers_.clear();
    }
    return false;
  }
  const std::size_t comma = text.rfind(", ");
  const std::size_t from = text.find('%');
  if (comma == std::string_view::npos || text.starts_with("cmp") || text.starts_with("test")) {
    return false;
  }
  const std::string_view to = text.substr(comma + 2);
  const bool is_copy =
      text.starts_with("mov") && from < comma && has(register_of(text.substr(from, comma - from)));
  if (is_copy && (to == "%rax" || (!to.starts_with('%') && !to.contains("(%rsp")))) {
    return true;
  }
  if (to.starts_with('%') && is_copy) {
    registers_.emplace(register_of(to));
  } else if (to.starts_with('%')) {
    registers_.erase(std::string(register_of(to)));
  }
  return false;
}

bool Copies::is_return(const elf::Instruction& insn) const {
  return std::ranges::any_of(piece_.references, [&](const Reference& reference) {
    return holds(insn, reference) && graph_.arch().is_return_thunk(name_of(graph_, reference));
  });
}

}  // namespace suture::diff
