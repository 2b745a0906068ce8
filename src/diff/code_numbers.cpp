// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a macro's number is in the code of all that go by it, in each as the compiler made it.
// One may be the size of what is allocated, another the limit, the mask or the shift by which it is
// looked into.
//
// Method: sizes are what is given to functions that give out memory, in the register that says how
// much, and count only where the function keeps what it gets. Of a limit each number counts that
// goes, with each that comes. Two changes are of one number if both grow alike.
//
// Invariant: what has another ratio before and after is never taken for one number.
#include "diff/code_numbers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "diff/instruction_text.h"

namespace suture::diff {

namespace {

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

// The result of the call that `code` follows is stored or returned.
bool result_is_kept(const PieceGraph& graph, const Piece& piece,
                    std::span<const elf::Instruction> code) {
  Copies copies(graph, piece, "ax");
  return std::ranges::any_of(code, [&](const elf::Instruction& insn) { return copies.step(insn); });
}

bool may_be_a_limit(std::string_view text, std::uint64_t value) {
  constexpr std::uint64_t smallest = 7;
  constexpr std::uint64_t small = 64;
  constexpr std::uint64_t error_codes = ~std::uint64_t{4095};
  const bool is_error = value >= error_codes || (value >= 0xfffff000 && value <= 0xffffffff);
  // GFP_KERNEL and what is added to it.
  const bool is_allocation_flags = (value & 0xcc0) == 0xcc0 && (value & 0xf) == 0;
  // Small ones are shifts and places on the stack, too.
  const bool is_limit = text.starts_with("cmp") || text.starts_with("and") ||
                        text.starts_with("mov") || text.starts_with("test");
  return value >= smallest && (value >= small || is_limit) && !text.contains("%rsp") && !is_error &&
         !is_allocation_flags;
}

// "movzx %al, %ecx"; what is read from memory was a byte all along.
bool takes_lowest_byte(std::string_view text) {
  const std::size_t from = text.find(" %");
  if (!text.starts_with("movz") || from == std::string_view::npos) {
    return false;
  }
  const std::string_view source = text.substr(from + 2);
  const std::string_view name = source.substr(0, source.find(','));
  return name.ends_with('l') || name.ends_with('b');
}

// Both grow alike: the same numbers, or what goes by a limit or by its last place, and the size
// of a table.
bool is_same_change(const NumberChange& size, const NumberChange& limit) {
  constexpr std::uint64_t most = std::uint64_t{1} << 31;  // the products stay exact
  const auto [was, is, shift] = limit;
  if (std::max({size.was, size.is, was, is}) >= most) {
    return size.was == was && size.is == is && !shift;
  }
  if (shift) {
    return was <= 64 && is <= 64 &&
           (is < was ? size.is == size.was << (was - is) : size.was == size.is << (is - was));
  }
  return (size.was == was && size.is == is) || size.was * is == size.is * was ||
         size.was * (is + 1) == size.is * (was + 1) || (size.was + 1) * is == (size.is + 1) * was;
}

}  // namespace

CodeNumbers numbers_in(const PieceGraph& graph, const Piece& piece,
                       const std::vector<elf::Instruction>& code) {
  CodeNumbers out;
  for (const elf::Instruction& insn : code) {
    const std::string text = text_of(graph, piece, insn);
    const std::uint64_t value = number_of(text);
    if (may_be_a_limit(text, value)) {
      out.numbers.insert(value);
    }
    if (text.starts_with("shr") && value != 0) {
      out.shifts.insert(value);
    }
    out.bytes_taken += takes_lowest_byte(text) ? 1 : 0;
  }
  return out;
}

std::set<std::uint64_t> allocated_sizes(const PieceGraph& graph, const Piece& piece,
                                        const std::vector<elf::Instruction>& code) {
  const auto said_how_much = [&](const Reference& call) {
    return call.is_branch && call.target_piece < 0 ? size_register(name_of(graph, call))
                                                   : std::string_view{};
  };
  std::set<std::uint64_t> out;
  if (std::ranges::all_of(piece.references, &std::string_view::empty, said_how_much)) {
    return out;
  }
  std::map<std::string, std::uint64_t, std::less<>> given;  // by register, since the last call
  auto reference = piece.references.begin();
  for (std::size_t i = 0; i < code.size(); ++i) {
    const elf::Instruction& insn = code[i];
    const std::string text = text_of(graph, piece, insn);
    if (const std::uint64_t value = number_of(text);
        text.starts_with("mov") && may_be_a_limit(text, value) && text.size() > 2) {
      given[text.substr(text.size() - 2)] = value;
    }
    for (; reference != piece.references.end() &&
           reference->offset < std::uint64_t{insn.offset} + insn.length;
         ++reference) {
      if (reference->is_branch && reference->target_piece < 0) {
        const auto size = given.find(said_how_much(*reference));
        if (size != given.end() && result_is_kept(graph, piece, std::span(code).subspan(i + 1))) {
          out.insert(size->second);
        }
        given.clear();
      }
    }
  }
  return out;
}

bool NumberChange::does_harm() const {
  return shift || is > was || (std::has_single_bit(was + 1) && std::has_single_bit(is + 1));
}

ChangedNumbers changed_numbers(const std::set<std::uint64_t>& before,
                               const std::set<std::uint64_t>& after) {
  ChangedNumbers out;
  for (std::uint64_t was : before) {
    for (std::uint64_t is : after) {
      if (!after.contains(was) && !before.contains(is)) {
        out.push_back({.was = was, .is = is});
      }
    }
  }
  return out;
}

ChangedNumbers changed_limits(const CodeNumbers& before, const CodeNumbers& after) {
  constexpr std::uint64_t byte_mask = 255;
  ChangedNumbers out = changed_numbers(before.numbers, after.numbers);
  for (NumberChange change : changed_numbers(before.shifts, after.shifts)) {
    change.shift = true;
    out.push_back(change);
  }
  for (std::uint64_t was : before.numbers) {
    if (after.bytes_taken > before.bytes_taken && !after.numbers.contains(was)) {
      out.push_back({.was = was, .is = byte_mask});
    }
  }
  for (std::uint64_t is : after.numbers) {
    if (after.bytes_taken < before.bytes_taken && !before.numbers.contains(is)) {
      out.push_back({.was = byte_mask, .is = is});
    }
  }
  return out;
}

std::optional<SharedNumber> shared_number(const ChangedNumbers& sizes,
                                          const ChangedNumbers& limits) {
  for (const NumberChange& limit : limits) {
    const auto same = std::ranges::find_if(
        sizes, [&](const NumberChange& size) { return is_same_change(size, limit); });
    if (same != sizes.end()) {
      return SharedNumber{.size = *same, .limit = limit};
    }
  }
  return std::nullopt;
}

}  // namespace suture::diff
