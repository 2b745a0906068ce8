// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say what an instruction does to a variable, so that two versions of boot code can be
// compared by what they leave behind.
//
// Method: an instruction that stores is its operation, width and constant, and the place in the
// variable. An address that is handed to a function is an effect of its own, as that function may
// write there.
//
// Invariants: a value that is computed in another way and stored by the same instruction is no
// difference: the note that names the boot code tells of it. Locks, and what is only read, are left
// as they were found, so to be given them changes nothing.
#include "diff/boot_effects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "diff/instruction_text.h"

namespace suture::diff {

namespace {

// They leave what they are given as they found it.
bool leaves_as_it_was(std::string_view function) {
  constexpr std::array<std::string_view, 20> starts{
      "mutex_lock", "mutex_unlock", "_raw_spin_", "_raw_read_", "_raw_write_",
      "down_read",  "down_write",   "up_read",    "up_write",   "rt_mutex_",
      "__mutex_",   "_printk",      "printk",     "strcmp",     "strncmp",
      "strcasecmp", "strlen",       "seq_printf", "memcmp",     "lockdep_"};
  return !function.contains("_init") &&
         std::ranges::any_of(starts, [&](auto start) { return function.starts_with(start); });
}

}  // namespace

bool may_be_state(const PieceGraph& graph, const Reference& reference) {
  if (reference.is_branch) {
    return false;
  }
  if (reference.target_piece < 0) {
    return true;
  }
  const Piece& target = graph.piece(reference.target_piece);
  const elf::Section& section = graph.section_of(target);
  return target.kind == PieceKind::data && !target.name.empty() && !is_copyable(graph, target) &&
         !may_start_anew(base_name(target.name)) && (section.flags & SHF_WRITE) != 0 &&
         !is_init_section(section.name);
}

namespace {

bool is_per_cpu(const PieceGraph& graph, const Reference& reference) {
  return reference.target_piece >= 0 &&
         is_per_cpu_section(graph.section_of(graph.piece(reference.target_piece)).name);
}

// A store by a register, and the register: "mov 32 0x1 at 0x30" and "dx".
std::optional<std::pair<std::string, std::string>> store_by_register(const PieceGraph& graph,
                                                                     const Piece& piece,
                                                                     const elf::Instruction& insn) {
  const std::string effect =
      graph.arch().memory_effect(graph.bytes(piece).subspan(insn.offset, insn.length));
  const std::string text = effect.empty() ? std::string{} : text_of(graph, piece, insn);
  const std::size_t bracket = text.find("(%");
  if (bracket == std::string::npos || text.contains("(%rsp") || text.contains("(%rip")) {
    return std::nullopt;
  }
  const std::size_t begin = text.find_last_of(" ,", bracket) + 1;
  const std::size_t end = text.find_first_of(",)", bracket);
  return std::pair(fmt::format("{} at {}", effect, text.substr(begin, bracket - begin)),
                   std::string(register_of(text.substr(bracket + 1, end - bracket - 1))));
}

// What the function stores by way of registers, wherever these point to.
std::set<std::string> stores_by_registers(const PieceGraph& graph, const Piece& piece,
                                          const std::vector<elf::Instruction>& code) {
  std::set<std::string> out;
  for (const elf::Instruction& insn : code) {
    if (auto store = store_by_register(graph, piece, insn)) {
      out.insert(std::move(store->first));
    }
  }
  return out;
}

// What it stores where the pointer leads that the first of `code` reads from a variable, or puts
// there.
std::set<std::string> stores_by_pointer(const PieceGraph& graph, const Piece& piece,
                                        std::span<const elf::Instruction> code) {
  std::set<std::string> out;
  const std::string text = text_of(graph, piece, code[0]);
  std::size_t from = text.find("%r");
  while (from != std::string::npos && text.substr(from).starts_with("%rip")) {
    from = text.find("%r", from + 1);
  }
  if (!text.starts_with("mov") || from == std::string::npos) {
    return out;
  }
  const std::size_t end = std::min(text.find_first_of(",)", from), text.size());
  Copies copies(graph, piece, register_of(std::string_view(text).substr(from, end - from)));
  for (const elf::Instruction& insn : code.subspan(1)) {
    copies.come_to(insn);
    auto store = store_by_register(graph, piece, insn);
    if (store && copies.has(store->second)) {
      out.insert(std::move(store->first));
    }
    copies.step(insn);
  }
  return out;
}

}  // namespace

namespace {

std::size_t index_of_insn(const std::vector<elf::Instruction>& code, const Reference& reference) {
  const auto behind =
      std::ranges::upper_bound(code, reference.offset, {}, &elf::Instruction::offset);
  return static_cast<std::size_t>(behind - code.begin()) - 1;  // code begins at 0
}

}  // namespace

std::string effect_of(const PieceGraph& graph, const Piece& piece,
                      const std::vector<elf::Instruction>& code, const Reference& reference) {
  if (code.empty()) {
    return {};
  }
  if (reference.takes_address) {
    auto call = std::ranges::find_if(piece.references, [&](const Reference& other) {
      return other.is_branch && other.offset > reference.offset &&
             name_of(graph, other) != piece.name;
    });
    const std::string_view given =
        call == piece.references.end() ? std::string_view{} : name_of(graph, *call);
    // Everything that other files share is given to somebody somewhere; keys to be turned on.
    const bool counts = reference.target_piece >= 0 || given.starts_with("static_key_");
    return leaves_as_it_was(given) || !counts
               ? std::string{}
               : fmt::format("given {} to {}", reference.target_offset, base_name(given));
  }
  const elf::Instruction& insn = code[index_of_insn(code, reference)];
  std::string effect =
      graph.arch().memory_effect(graph.bytes(piece).subspan(insn.offset, insn.length));
  if (!effect.empty()) {
    effect += fmt::format(" at {}", reference.target_offset);
  }
  for (const Reference& other : piece.references) {
    if (!effect.empty() && &other != &reference && holds(insn, other)) {
      effect += fmt::format(" {}+{}", name_of(graph, other), other.target_offset);
    }
  }
  return effect;
}

std::string effect_behind(const PieceGraph& graph, const Piece& piece,
                          const std::vector<elf::Instruction>& code, const Reference& reference) {
  if (code.empty() || (reference.takes_address && !is_per_cpu(graph, reference))) {
    return {};
  }
  // A processor's copy of a variable is found by adding to its address.
  const std::set<std::string> stores =
      reference.takes_address
          ? stores_by_registers(graph, piece, code)
          : stores_by_pointer(graph, piece,
                              std::span(code).subspan(index_of_insn(code, reference)));
  return stores.empty() && !reference.takes_address
             ? std::string{}
             : fmt::format(" and there {}", fmt::join(stores, ", "));
}

HandingOut handing_out(const PieceGraph& graph, const Piece& piece, const Reference& reference) {
  std::uint64_t begin = 0;
  const Reference* call = nullptr;
  for (const Reference& other : piece.references) {
    if (other.is_branch && other.offset < reference.offset) {
      begin = other.offset;
    } else if (other.is_branch && other.offset > reference.offset && call == nullptr) {
      call = &other;
    }
  }
  HandingOut out{.to = call == nullptr ? std::string{} : base_name(name_of(graph, *call)),
                 .beside = {}};
  for (const Reference& other : piece.references) {
    const bool inside = other.offset > begin && (call == nullptr || other.offset < call->offset);
    if (inside && &other != &reference && !text_at(graph, other)) {
      out.beside.insert(
          fmt::format("{}+{}", base_name(name_of(graph, other)), other.target_offset));
    }
  }
  return out;
}

}  // namespace suture::diff
