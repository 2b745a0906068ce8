// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a macro's number is in the code of all that go by it, in each as the compiler made it.
// One may be the size of what is allocated, another the limit, the mask or the shift by which it is
// looked into.
//
// Method: sizes are what is given to functions that give out memory, in the register that says how
// much (of those that are known by name; else in any), and count only where the function keeps what
// it gets. Of a limit each number counts that goes, with each that comes. Two changes are of one
// number if both grow alike. What clears a buffer in line has no number for it, but the place of
// its last store.
//
// Invariant: what has another ratio before and after is never taken for one number.
#include "diff/code_numbers.h"

#include <fmt/format.h>

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

// Where a function that gives out memory is told how much.
struct SizeArgument {
  std::string_view function;  // or how its name begins
  std::string_view where;
};
constexpr std::array<SizeArgument, 21> known_sizes{{{"__kmalloc_cache", "dx"},
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
                                                    {"alloc_pages_exact", "di"}}};
// By a power of two of pages.
constexpr std::uint64_t page_size = 4096;
constexpr std::array<SizeArgument, 6> known_orders{{{"__get_free_pages", "si"},
                                                    {"get_free_pages", "si"},
                                                    {"alloc_pages", "si"},
                                                    {"__alloc_pages", "si"},
                                                    {"folio_alloc", "si"},
                                                    {"__folio_alloc", "si"}}};

bool may_be_a_limit(std::string_view text, std::uint64_t value) {
  constexpr std::uint64_t smallest = 7;
  constexpr std::uint64_t small = 64;
  // GFP_KERNEL and what is added to it.
  const bool is_allocation_flags = (value & 0xcc0) == 0xcc0 && (value & 0xf) == 0;
  // Small ones are shifts and places on the stack, too.
  const bool is_limit = text.starts_with("cmp") || text.starts_with("and") ||
                        text.starts_with("mov") || text.starts_with("test");
  // What is compared may be a variable on the stack.
  const bool is_about_stack = text.contains("%rsp") && !text.starts_with("cmp");
  return value >= smallest && (value >= small || is_limit) && !is_about_stack &&
         !is_allocation_flags;
}

struct SizeGiven {
  std::string_view where;  // empty where any argument may be it
  bool is_order = false;
};

// Nothing where the function gives out no memory.
std::optional<SizeGiven> size_given_to(std::string_view function) {
  constexpr std::string_view profiled = "_noprof";  // since Linux 6.10
  const std::string_view name = function.ends_with(profiled)
                                    ? function.substr(0, function.size() - profiled.size())
                                    : function;
  if (const auto it = std::ranges::find(known_orders, name, &SizeArgument::function);
      it != known_orders.end()) {
    return SizeGiven{.where = it->where, .is_order = true};
  }
  const auto it = std::ranges::find_if(
      known_sizes, [&](const SizeArgument& size) { return function.starts_with(size.function); });
  if (it != known_sizes.end()) {
    return SizeGiven{.where = it->where};
  }
  // These give out numbers, or a queue.
  constexpr std::array<std::string_view, 6> no_memory{"ida_", "idr_",   "xa_",
                                                      "irq",  "chrdev", "workqueue"};
  const bool may_give = name.contains("alloc") && std::ranges::none_of(no_memory, [&](auto word) {
                          return name.contains(word);
                        });
  return may_give ? std::optional(SizeGiven{}) : std::nullopt;
}

// Of an allocator that is not known, flags are no size.
std::optional<std::uint64_t> size_in(const SizeGiven& given, std::string_view where,
                                     std::uint64_t value) {
  constexpr std::uint64_t most_orders = 12;
  constexpr std::uint64_t reclaim = 0xc00;  // ___GFP_DIRECT_RECLAIM, ___GFP_KSWAPD_RECLAIM
  constexpr std::uint64_t zone = 0x1f;
  if (given.where.empty()) {
    const bool is_flags =
        (value & reclaim) != 0 && (value & zone) == 0 && !std::has_single_bit(value);
    return may_be_a_limit("mov", value) && !is_flags ? std::optional(value) : std::nullopt;
  }
  if (where != given.where) {
    return std::nullopt;
  }
  if (given.is_order) {
    return value < most_orders ? std::optional(page_size << value) : std::nullopt;
  }
  return may_be_a_limit("mov", value) ? std::optional(value) : std::nullopt;
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
  const auto [was, is, kind] = limit;
  if (kind == NumberChange::Kind::place) {
    constexpr std::array<std::uint64_t, 5> widths{1, 2, 4, 8, 16};
    return std::ranges::any_of(widths, [&](std::uint64_t width) {
      return was + width == size.was && is + width == size.is;
    });
  }
  if (std::max({size.was, size.is, was, is}) >= most) {
    return size.was == was && size.is == is && kind == NumberChange::Kind::number;
  }
  if (kind == NumberChange::Kind::shift) {
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
      ++out.numbers[value];
    }
    if (text.starts_with("shr") && value != 0) {
      ++out.shifts[value];
    }
    if (const std::uint64_t place = place_in(text); may_be_a_limit("mov", place)) {
      if (text.starts_with("lea")) {
        ++out.numbers[place];  // the end of a table
      } else if (writes_memory(text)) {
        ++out.places[place];
      }
    }
    out.bytes_taken += takes_lowest_byte(text) ? 1 : 0;
  }
  return out;
}

namespace {

// A jump to another part of the function.
bool stays_in(const PieceGraph& graph, const Piece& piece, const Reference& branch) {
  return branch.target_piece >= 0 &&
         (graph.piece(branch.target_piece).kind != PieceKind::function ||
          name_of(graph, branch).starts_with(fmt::format("{}.cold", piece.name)));
}

}  // namespace

std::vector<NamedCall> calls_in(const PieceGraph& graph, const Piece& piece,
                                const std::vector<elf::Instruction>& code) {
  std::vector<NamedCall> out;
  NamedCall next;
  auto reference = piece.references.begin();
  for (std::size_t i = 0; i < code.size(); ++i) {
    const elf::Instruction& insn = code[i];
    const std::string text = text_of(graph, piece, insn);
    const std::size_t comma = text.rfind(", %");
    const bool only_reads = text.starts_with("cmp") || text.starts_with("test");
    if (comma != std::string::npos && !only_reads) {
      const std::string to = text.substr(comma + 2);
      const bool is_zero = text.starts_with("xor") && text.contains(fmt::format("{}, {}", to, to));
      const bool is_constant = text.starts_with("mov") && text.contains(" $0x");
      next.given.erase(std::string(register_of(to)));
      if (is_zero || is_constant) {
        next.given.emplace(register_of(to), is_zero ? 0 : number_of(text));
      }
    }
    for (; reference != piece.references.end() &&
           reference->offset < std::uint64_t{insn.offset} + insn.length;
         ++reference) {
      if (!reference->is_branch || stays_in(graph, piece, *reference)) {
        continue;
      }
      next.to = name_of(graph, *reference);
      next.index = i;
      out.push_back(next);
    }
    if (insn.is_call || text.starts_with("call")) {
      next.given.clear();
    }
  }
  return out;
}

bool keeps_result(const PieceGraph& graph, const Piece& piece,
                  const std::vector<elf::Instruction>& code, const NamedCall& call) {
  Copies copies(graph, piece, "ax");
  return std::ranges::any_of(std::span(code).subspan(call.index + 1),
                             [&](const elf::Instruction& insn) { return copies.step(insn); });
}

CountedNumbers allocated_sizes(const PieceGraph& graph, const Piece& piece,
                               const std::vector<elf::Instruction>& code) {
  CountedNumbers out;
  if (std::ranges::none_of(piece.references, [&](const Reference& call) {
        return call.is_branch && size_given_to(name_of(graph, call));
      })) {
    return out;
  }
  for (const NamedCall& call : calls_in(graph, piece, code)) {
    const auto given = size_given_to(call.to);
    if (!given || call.given.empty() || !keeps_result(graph, piece, code, call)) {
      continue;
    }
    for (const auto& [where, value] : call.given) {
      if (const auto size = size_in(*given, where, value)) {
        ++out[*size];
      }
    }
  }
  return out;
}

bool NumberChange::does_harm() const {
  return kind == Kind::shift || is > was ||
         (std::has_single_bit(was + 1) && std::has_single_bit(is + 1));
}

namespace {

int times(const CountedNumbers& numbers, std::uint64_t number) {
  const auto it = numbers.find(number);
  return it == numbers.end() ? 0 : it->second;
}

void add_changes(const CountedNumbers& before, const CountedNumbers& after, NumberChange::Kind kind,
                 ChangedNumbers& out) {
  for (const auto& [was, times_before] : before) {
    for (const auto& [is, times_after] : after) {
      if (times(after, was) < times_before && times(before, is) < times_after) {
        out.push_back({.was = was, .is = is, .kind = kind});
      }
    }
  }
}

}  // namespace

ChangedNumbers changed_numbers(const CountedNumbers& before, const CountedNumbers& after) {
  ChangedNumbers out;
  add_changes(before, after, NumberChange::Kind::number, out);
  return out;
}

ChangedNumbers changed_limits(const CodeNumbers& before, const CodeNumbers& after) {
  constexpr std::uint64_t byte_mask = 255;
  ChangedNumbers out;
  add_changes(before.numbers, after.numbers, NumberChange::Kind::number, out);
  add_changes(before.shifts, after.shifts, NumberChange::Kind::shift, out);
  add_changes(before.places, after.places, NumberChange::Kind::place, out);
  for (const auto& [was, count] : before.numbers) {
    if (after.bytes_taken > before.bytes_taken && !after.numbers.contains(was)) {
      out.push_back({.was = was, .is = byte_mask});
    }
  }
  for (const auto& [is, count] : after.numbers) {
    if (after.bytes_taken < before.bytes_taken && !before.numbers.contains(is)) {
      out.push_back({.was = byte_mask, .is = is});
    }
  }
  return out;
}

// A member's width is not known: two bytes are one number, unless one of them belongs to another.
ChangedNumbers changed_data(const PieceGraph& pre, const Piece& before, const PieceGraph& post,
                            const Piece& after) {
  constexpr std::uint64_t width = 4;
  constexpr std::uint64_t half = 0xffff;
  const ByteView old = pre.bytes(before);
  const ByteView now = post.bytes(after);
  ChangedNumbers out;
  for (std::uint64_t at = 0; at + width <= std::min(old.size(), now.size()); at += width) {
    const std::uint64_t was = read_le<std::uint32_t>(old, at).value_or(0);
    const std::uint64_t is = read_le<std::uint32_t>(now, at).value_or(0);
    const bool is_address = std::ranges::any_of(after.references, [&](const Reference& field) {
      return at >= field.offset && at < field.offset + sizeof(std::uint64_t);
    });
    if (was == is || is_address) {
      continue;
    }
    const bool is_low = (was & ~half) == (is & ~half);
    const bool is_high = (was & half) == (is & half);
    const NumberChange change{.was = is_low    ? was & half
                                     : is_high ? was >> 16U
                                               : was,
                              .is = is_low    ? is & half
                                    : is_high ? is >> 16U
                                              : is};
    if (may_be_a_limit("mov", change.was) && may_be_a_limit("mov", change.is)) {
      out.push_back(change);
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
