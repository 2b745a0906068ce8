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
#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <utility>

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

// "ax" of "%rax" and of "%eax", "12" of "%r12" and of "%r12d".
std::string_view register_of(std::string_view operand) {
  operand.remove_prefix(std::min<std::size_t>(2, operand.size()));
  return operand.ends_with('d') && operand.size() > 1 && operand[0] >= '0' && operand[0] <= '9'
             ? operand.substr(0, operand.size() - 1)
             : operand;
}

// The registers that hold a value, followed in the order of the code, and by jumps forward.
class Copies {
 public:
  Copies(const PieceGraph& graph, const Piece& piece, std::string_view first)
      : graph_(graph), piece_(piece), registers_{std::string(first)} {}

  bool has(std::string_view name) const { return registers_.contains(name); }
  // Takes in what jumps to the instruction.
  void come_to(const elf::Instruction& insn) {
    if (const auto at = jumped_with_.find(insn.offset); at != jumped_with_.end()) {
      registers_.insert(at->second.begin(), at->second.end());
    }
  }

  // True where the instruction stores the value, in a global or by a register other than the
  // stack's, or returns it.
  bool step(const elf::Instruction& insn) {
    constexpr std::array<std::string_view, 6> kept_over_calls{"bx", "bp", "12", "13", "14", "15"};
    const std::string line =
        graph_.arch().text(graph_.bytes(piece_).subspan(insn.offset, insn.length), 0);
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
    const bool is_copy = text.starts_with("mov") && from < comma &&
                         has(register_of(text.substr(from, comma - from)));
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

 private:
  bool is_return(const elf::Instruction& insn) const {
    return std::ranges::any_of(piece_.references, [&](const Reference& reference) {
      return reference.offset >= insn.offset &&
             reference.offset < std::uint64_t{insn.offset} + insn.length &&
             graph_.arch().is_return_thunk(name_of(graph_, reference));
    });
  }

  using Registers = std::set<std::string, std::less<>>;

  const PieceGraph& graph_;
  const Piece& piece_;
  Registers registers_;
  std::map<std::uint64_t, Registers> jumped_with_;  // to an offset
};

// The result of the call that `code` follows is stored or returned.
bool result_is_kept(const PieceGraph& graph, const Piece& piece,
                    std::span<const elf::Instruction> code) {
  Copies copies(graph, piece, "ax");
  return std::ranges::any_of(code, [&](const elf::Instruction& insn) { return copies.step(insn); });
}

// A store by a register, and the register: "mov 32 0x1 at 0x30" and "dx".
std::optional<std::pair<std::string, std::string>> store_by_register(const PieceGraph& graph,
                                                                     const Piece& piece,
                                                                     const elf::Instruction& insn) {
  const ByteView bytes = graph.bytes(piece).subspan(insn.offset, insn.length);
  const std::string effect = graph.arch().memory_effect(bytes);
  const std::string text = effect.empty() ? std::string{} : graph.arch().text(bytes, 0);
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
  const std::string text =
      graph.arch().text(graph.bytes(piece).subspan(code[0].offset, code[0].length), 0);
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

std::string effect_of(const PieceGraph& graph, const Piece& piece,
                      const std::vector<elf::Instruction>& code, const Reference& reference) {
  auto insn = std::ranges::upper_bound(code, reference.offset, {}, &elf::Instruction::offset);
  if (insn == code.begin()) {
    return {};
  }
  --insn;
  if (reference.takes_address) {
    auto call = std::ranges::find_if(piece.references, [&](const Reference& other) {
      return other.is_branch && other.offset > reference.offset &&
             name_of(graph, other) != piece.name;
    });
    const std::string_view given =
        call == piece.references.end() ? std::string_view{} : name_of(graph, *call);
    // Everything that other files share is given to somebody somewhere; keys to be turned on.
    const bool counts = reference.target_piece >= 0 || given.starts_with("static_key_");
    std::string out =
        leaves_as_it_was(given) || !counts
            ? std::string{}
            : fmt::format("given {} to {}", reference.target_offset, base_name(given));
    // Its copy for a processor is found by adding to its address.
    if (is_per_cpu(graph, reference)) {
      out += fmt::format(" written {}", fmt::join(stores_by_registers(graph, piece, code), ", "));
    }
    return out;
  }
  std::string effect =
      graph.arch().memory_effect(graph.bytes(piece).subspan(insn->offset, insn->length));
  if (!effect.empty()) {
    effect += fmt::format(" at {}", reference.target_offset);
  }
  const auto through = stores_by_pointer(
      graph, piece, std::span(code).subspan(static_cast<std::size_t>(insn - code.begin())));
  if (!through.empty()) {
    effect += fmt::format(" and there {}", fmt::join(through, ", "));
  }
  for (const Reference& other : piece.references) {
    if (!effect.empty() && &other != &reference && other.offset > insn->offset &&
        other.offset < std::uint64_t{insn->offset} + insn->length) {
      effect += fmt::format(" {}+{}", name_of(graph, other), other.target_offset);
    }
  }
  return effect;
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

namespace {

// The first number in the instruction's text; 0 where it has none.
std::uint64_t number_of(std::string_view text) {
  constexpr std::string_view prefix = "$0x";
  const std::size_t at = text.find(prefix);
  std::uint64_t value = 0;
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + prefix.size(), text.data() + text.size(), value, 16);
  }
  return value;
}

// The register in which a function that gives out memory is told how much; empty where it is none.
std::string_view size_register(std::string_view function) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 20> starts{{
      {"__kmalloc_cache", "dx"},
      {"kmalloc_trace", "dx"},
      {"kmalloc_node_trace", "dx"},
      {"kmem_cache_alloc_trace", "dx"},
      {"dma_pool_create", "dx"},
      {"kmem_cache_create", "si"},
      {"dma_alloc_", "si"},
      {"usb_alloc_coherent", "si"},
      {"devm_kmalloc", "si"},
      {"sock_kmalloc", "si"},
      {"__kfifo_alloc", "si"},
      {"__kmalloc", "di"},
      {"kmalloc_large", "di"},
      {"kvmalloc", "di"},
      {"__kvmalloc", "di"},
      {"vmalloc", "di"},
      {"vzalloc", "di"},
      {"__alloc_percpu", "di"},
      {"bitmap_zalloc", "di"},
      {"alloc_netdev_mqs", "di"},
  }};
  const auto it = std::ranges::find_if(
      starts, [&](const auto& start) { return function.starts_with(start.first); });
  return it == starts.end() ? std::string_view{} : it->second;
}

}  // namespace

std::set<std::uint64_t> numbers_in(const PieceGraph& graph, const Piece& piece,
                                   const std::vector<elf::Instruction>& code) {
  constexpr std::uint64_t smallest = 7;
  constexpr std::uint64_t small = 64;
  constexpr std::uint64_t error_codes = ~std::uint64_t{4095};
  std::set<std::uint64_t> out;
  for (const elf::Instruction& insn : code) {
    const std::string text =
        graph.arch().text(graph.bytes(piece).subspan(insn.offset, insn.length), 0);
    const std::uint64_t value = number_of(text);
    const bool is_error = value >= error_codes || (value >= 0xfffff000 && value <= 0xffffffff);
    // GFP_KERNEL and what is added to it.
    const bool is_allocation_flags = (value & 0xcc0) == 0xcc0 && (value & 0xf) == 0;
    // Small ones are shifts and places on the stack, too.
    const bool is_limit = text.starts_with("cmp") || text.starts_with("and") ||
                          text.starts_with("mov") || text.starts_with("test");
    if (value >= smallest && (value >= small || is_limit) && !text.contains("%rsp") && !is_error &&
        !is_allocation_flags) {
      out.insert(value);
    }
  }
  return out;
}

namespace {}  // namespace

std::set<std::uint64_t> shifts_in(const PieceGraph& graph, const Piece& piece,
                                  const std::vector<elf::Instruction>& code) {
  std::set<std::uint64_t> out;
  for (const elf::Instruction& insn : code) {
    const std::string text =
        graph.arch().text(graph.bytes(piece).subspan(insn.offset, insn.length), 0);
    if (const std::uint64_t value = number_of(text); text.starts_with("shr") && value != 0) {
      out.insert(value);
    }
  }
  return out;
}

int bytes_taken(const PieceGraph& graph, const Piece& piece,
                const std::vector<elf::Instruction>& code) {
  return static_cast<int>(std::ranges::count_if(code, [&](const elf::Instruction& insn) {
    const std::string text =
        graph.arch().text(graph.bytes(piece).subspan(insn.offset, insn.length), 0);
    // "movzx %al, %ecx"; what is read from memory was a byte all along.
    const std::size_t from = text.find(" %");
    const std::string_view source = std::string_view(text).substr(std::min(from + 2, text.size()));
    const std::string_view name = source.substr(0, source.find(','));
    return text.starts_with("movz") && from != std::string::npos &&
           (name.ends_with('l') || name.ends_with('b'));
  }));
}

std::set<std::uint64_t> allocated_sizes(const PieceGraph& graph, const Piece& piece,
                                        const std::vector<elf::Instruction>& code) {
  const std::set<std::uint64_t> numbers = numbers_in(graph, piece, code);
  std::set<std::uint64_t> out;
  std::map<std::string, std::uint64_t> given;  // by register, since the last call
  auto reference = piece.references.begin();
  for (std::size_t i = 0; i < code.size(); ++i) {
    const elf::Instruction& insn = code[i];
    const std::string text =
        graph.arch().text(graph.bytes(piece).subspan(insn.offset, insn.length), 0);
    if (const std::uint64_t value = number_of(text);
        text.starts_with("mov") && numbers.contains(value) && text.size() > 2) {
      given[text.substr(text.size() - 2)] = value;
    }
    for (; reference != piece.references.end() &&
           reference->offset < std::uint64_t{insn.offset} + insn.length;
         ++reference) {
      if (reference->is_branch && reference->target_piece < 0) {
        const auto size = given.find(std::string(size_register(name_of(graph, *reference))));
        if (size != given.end() && result_is_kept(graph, piece, std::span(code).subspan(i + 1))) {
          out.insert(size->second);
        }
        given.clear();
      }
    }
  }
  return out;
}

}  // namespace suture::diff
