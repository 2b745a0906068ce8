// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: relocations name symbols, sections plus offsets, or nothing at all (a branch inside one
// section is resolved by the assembler), so "which thing does this instruction refer to" is not
// written down anywhere.
//
// Method: cut every allocated section into pieces, at its symbols (functions, variables), at the
// NULs of string sections, at the entries of constant sections, and, in code without symbols, at
// the places that something points to. Then decode each function once: the decoded instruction
// around a PC-relative field says what the CPU adds to it, which gives the exact byte that is
// meant, and a branch out of its own function without a relocation becomes an edge like any other.
//
// Invariants: pieces of a section do not overlap; every reference of a piece lies inside it; for
// every reference with a target piece, target_offset is relative to that piece and may lie outside
// it only where the source named the symbol (array bounds computed at compile time). The assembler
// turns the names of local symbols into places of sections; where several variables share one
// (__read_mostly, per-CPU), a place does not surely tell which of them was named, unless an
// instruction reads or writes just there. Such references are marked (by_section); who uses one has
// to see to it that the neighbours stay neighbours.
#include "diff/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace suture::diff {

namespace {

using elf::Section;
using elf::Symbol;

// Damaged numbers may be of any size: the sum goes round at 2^64, as an address does.
std::int64_t sum(std::uint64_t place, std::int64_t distance) {
  return static_cast<std::int64_t>(place + static_cast<std::uint64_t>(distance));
}

std::int64_t distance(std::int64_t place, std::uint64_t from) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(place) - from);
}

bool is_code(const Section& section) { return (section.flags & SHF_EXECINSTR) != 0; }

// A mark for a place, as objtool's and the compiler's local labels are; never a thing of its own.
bool is_label(const Symbol& symbol) {
  return symbol.name.starts_with(".L") || symbol.name.starts_with("__UNIQUE_ID___addressable") ||
         symbol.name.starts_with(prefix_symbol);
}

bool names_a_thing(const Symbol& symbol, const Section& section) {
  if (symbol.name.empty() || is_label(symbol)) {
    return false;
  }
  switch (symbol.type) {
    case STT_FUNC:
    case STT_OBJECT:
    case STT_GNU_IFUNC: return true;
    // Assembly labels in data are real names; in code they are places inside functions.
    case STT_NOTYPE: return !is_code(section);
    default: return false;
  }
}

// Where the string of characters of `width` bytes ends that starts at `offset`, its NUL included.
std::uint64_t string_end(const Section& where, std::uint64_t offset, std::uint64_t width) {
  for (; offset + width <= where.data.size(); offset += width) {
    const ByteView character = where.data.subspan(offset, width);
    if (std::ranges::all_of(character, [](std::uint8_t byte) { return byte == 0; })) {
      return offset + width;
    }
  }
  return where.size;
}

}  // namespace

bool is_table_section(const elf::Arch& arch, std::string_view name) {
  if (name == ".orc_unwind" || name == ".orc_unwind_ip" || name == ".orc_header" ||
      name == ".ibt_endbr_seal" || name.starts_with(".discard") || name == ".comment" ||
      name == ".modinfo" || name.starts_with(".note") || name.starts_with("___ksymtab") ||
      name.starts_with("___kcrctab") || name == "__ksymtab_strings" ||
      name.starts_with("__patchable_function_entries") || name == ".export_symbol") {
    return true;
  }
  return std::ranges::any_of(arch.tables(),
                             [&](const elf::TableLayout& table) { return table.section == name; });
}

bool is_freed_section(std::string_view name) {
  // include/asm-generic/vmlinux.lds.h and arch/x86/kernel/vmlinux.lds.S, between __init_begin and
  // __init_end.
  constexpr std::string_view starts[] = {".init",
                                         ".exit",
                                         ".con_init",
                                         ".data..init",
                                         "__setup",
                                         "__earlycon",
                                         ".lsm_info.init",
                                         ".early_lsm_info.init",
                                         ".dtb.init",
                                         "___kentry",
                                         ".ctors",
                                         ".kunit_test_suites",
                                         ".apicdrivers",
                                         ".x86_cpu_dev",
                                         ".x86_intel_mid_dev"};
  constexpr std::string_view ends[] = {"_of_table", "_acpi_probe_table", "_thermal_table"};
  return std::ranges::any_of(starts, [&](auto start) { return name.starts_with(start); }) ||
         (name.starts_with("__") &&
          std::ranges::any_of(ends, [&](auto end) { return name.ends_with(end); }));
}

bool is_exit_section(std::string_view name) { return name.starts_with(".exit"); }

bool is_init_section(std::string_view name) {
  return is_freed_section(name) || name == "__param" || name.starts_with(".pci_fixup") ||
         name.starts_with("__tracepoints") || name == "_ftrace_events" ||
         name == "_ftrace_eval_map" || name == "__syscalls_metadata" ||
         name == "__bpf_raw_tp_map" || name == "__trace_printk_fmt" ||
         name == "_error_injection_whitelist" || name == "_kprobe_blacklist" || name == ".BTF_ids";
}

std::string_view authors_name(const PieceGraph& graph, const Piece& piece) {
  const bool same_everywhere = piece.name == "init_module" || piece.name == "cleanup_module";
  return same_everywhere && !piece.aliases.empty()
             ? std::string_view(graph.object().symbols()[piece.aliases[0]].name)
             : piece.name;
}

std::string_view name_of(const PieceGraph& graph, const Reference& reference) {
  return reference.target_piece >= 0 && !graph.piece(reference.target_piece).name.empty()
             ? graph.piece(reference.target_piece).name
             : std::string_view(graph.object().symbols()[reference.symbol].name);
}

bool is_flag_section(std::string_view name) {
  return name == ".data.once" || name == ".data..once";
}

bool has_global_name(const PieceGraph& graph, const Piece& piece, std::string_view name) {
  const auto& symbols = graph.object().symbols();
  auto named = [&](std::uint32_t index) {
    return symbols[index].name == name && symbols[index].binding != STB_LOCAL;
  };
  return named(piece.symbol) || std::ranges::any_of(piece.aliases, named);
}

bool is_per_cpu_section(std::string_view name) { return name.starts_with(".data..percpu"); }

std::string base_name(std::string_view name) {
  // Trailing ".NUMBER" of a static local; GCC's clones keep theirs (".isra.0").
  std::string out(name);
  std::size_t dot = out.rfind('.');
  if (dot != std::string::npos && dot + 1 < out.size() && dot > 0 &&
      std::all_of(out.begin() + static_cast<std::ptrdiff_t>(dot) + 1, out.end(),
                  [](char c) { return c >= '0' && c <= '9'; })) {
    std::string_view stem = std::string_view(out).substr(0, dot);
    if (!stem.ends_with(".isra") && !stem.ends_with(".part") && !stem.ends_with(".constprop") &&
        !stem.ends_with(".cold") && !stem.ends_with(".localalias")) {
      out.resize(dot);
    }
  }
  constexpr std::string_view unique = "__UNIQUE_ID_";
  std::size_t at = out.find(unique);
  if (at != std::string::npos) {
    while (!out.empty() && out.back() >= '0' && out.back() <= '9' &&
           out.size() > at + unique.size()) {
      out.pop_back();
    }
  }
  return out;
}

Result<PieceGraph> PieceGraph::build(const elf::ObjectFile& object, const elf::Arch& arch) {
  PieceGraph graph;
  graph.object_ = &object;
  graph.arch_ = &arch;
  const auto& sections = object.sections();
  graph.by_section_.resize(sections.size());

  std::vector<std::vector<std::uint32_t>> named(sections.size());
  for (std::uint32_t i = 1; i < object.symbols().size(); ++i) {
    const Symbol& symbol = object.symbols()[i];
    if (symbol.defined() && names_a_thing(symbol, sections[symbol.section])) {
      named[symbol.section].push_back(i);
    }
    if (symbol.defined() && symbol.type == STT_FUNC && symbol.name.starts_with(prefix_symbol) &&
        symbol.size <= sections[symbol.section].size) {
      graph.prefixes_[{symbol.section, symbol.value + symbol.size}] = symbol.size;
    }
  }
  for (std::uint32_t i = 1; i < sections.size(); ++i) {
    const Section& section = sections[i];
    if ((section.flags & SHF_ALLOC) == 0 || is_table_section(arch, section.name) ||
        section.type == SHT_NOTE) {
      continue;
    }
    if ((section.flags & SHF_MERGE) != 0 && section.type != SHT_NOBITS) {
      graph.split_mergeable(i);
    } else if (is_code(section) && named[i].empty()) {
      graph.split_blobs(i);
    } else {
      graph.split_section(i, std::move(named[i]));
    }
  }
  for (Piece& piece : graph.pieces_) {
    TRY(graph.connect(piece));
  }
  return graph;
}

// Cuts at the symbols. What comes before the first symbol, or a section without any, is an
// anonymous piece; a function or variable reaches to the next symbol's start, so padding belongs to
// nobody only after the sizes that the compiler states.
void PieceGraph::split_section(std::uint32_t section, std::vector<std::uint32_t> symbols) {
  const Section& where = object_->sections()[section];
  const auto& table = object_->symbols();
  std::ranges::stable_sort(symbols, [&](std::uint32_t a, std::uint32_t b) {
    if (table[a].value != table[b].value) {
      return table[a].value < table[b].value;
    }
    // The symbol that states a size comes first; among those a global name, then the lower number.
    bool sized_a = table[a].size != 0;
    bool sized_b = table[b].size != 0;
    if (sized_a != sized_b) {
      return sized_a;
    }
    return (table[a].binding != STB_LOCAL) > (table[b].binding != STB_LOCAL);
  });
  auto add = [&](Piece piece) {
    by_section_[section].push_back(static_cast<std::int32_t>(pieces_.size()));
    pieces_.push_back(std::move(piece));
  };
  auto prefix_of = [&](std::uint64_t entry) {
    auto it = prefixes_.find({section, entry});
    return it == prefixes_.end() || it->second > entry ? 0 : it->second;
  };
  std::uint64_t first = symbols.empty() ? where.size : table[symbols[0]].value;
  first -= prefix_of(first);
  if (first > 0) {
    add(Piece{.kind = PieceKind::data,
              .section = section,
              .offset = 0,
              .size = std::min(first, where.size)});
  }
  for (std::size_t i = 0; i < symbols.size();) {
    const Symbol& symbol = table[symbols[i]];
    std::size_t next = i + 1;
    Piece piece{.kind = is_code(where) ? PieceKind::function : PieceKind::data,
                .name = symbol.name,
                .symbol = symbols[i],
                .section = section,
                .offset = std::min(symbol.value, where.size),
                .prefix = prefix_of(symbol.value),
                .global = symbol.binding != STB_LOCAL};
    while (next < symbols.size() && table[symbols[next]].value == symbol.value) {
      piece.aliases.push_back(symbols[next]);
      piece.global = piece.global || table[symbols[next]].binding != STB_LOCAL;
      ++next;
    }
    std::uint64_t limit = next < symbols.size() ? table[symbols[next]].value : where.size;
    limit = std::min(limit, where.size);
    std::uint64_t size =
        symbol.size != 0 ? std::min(symbol.size, limit - piece.offset) : limit - piece.offset;
    piece.size = size;
    add(std::move(piece));
    i = next;
  }
}

void PieceGraph::split_mergeable(std::uint32_t section) {
  const Section& where = object_->sections()[section];
  auto add = [&](std::uint64_t offset, std::uint64_t size, PieceKind kind) {
    by_section_[section].push_back(static_cast<std::int32_t>(pieces_.size()));
    pieces_.push_back(Piece{.kind = kind, .section = section, .offset = offset, .size = size});
  };
  std::uint64_t offset = 0;
  std::uint64_t step = std::max<std::uint64_t>(1, where.entry_size);
  if ((where.flags & SHF_STRINGS) != 0) {
    // Strings of wide characters are compared as a whole, as constants are.
    const PieceKind kind = step == 1 ? PieceKind::string : PieceKind::constant;
    while (offset < where.size) {
      const std::uint64_t end = string_end(where, offset, step);
      add(offset, end - offset, kind);
      offset = end;
    }
    return;
  }
  for (; offset < where.size; offset += step) {
    add(offset, std::min(step, where.size - offset), PieceKind::constant);
  }
}

// Code without symbols is cut where a relocation anywhere in the object points into it.
void PieceGraph::split_blobs(std::uint32_t section) {
  const Section& where = object_->sections()[section];
  std::set<std::uint64_t> starts{0};
  for (const Section& other : object_->sections()) {
    if (&other == &where) {
      continue;
    }
    for (const elf::Relocation& relocation : other.relocations) {
      const Symbol& symbol = object_->symbols()[relocation.symbol];
      if (symbol.section != section) {
        continue;
      }
      // A branch's field holds the target minus its own four bytes; a table's holds the target.
      auto kind = arch_->relocation(relocation.type);
      std::int64_t bias = is_code(other) && kind && kind->pc_relative ? 4 : 0;
      std::int64_t at = sum(symbol.value + static_cast<std::uint64_t>(bias), relocation.addend);
      if (at > 0 && static_cast<std::uint64_t>(at) < where.size) {
        starts.insert(static_cast<std::uint64_t>(at));
      }
    }
  }
  for (auto it = starts.begin(); it != starts.end(); ++it) {
    std::uint64_t end = std::next(it) == starts.end() ? where.size : *std::next(it);
    if (end > *it) {
      by_section_[section].push_back(static_cast<std::int32_t>(pieces_.size()));
      pieces_.push_back(
          Piece{.kind = PieceKind::blob, .section = section, .offset = *it, .size = end - *it});
    }
  }
}

ByteView PieceGraph::bytes(const Piece& piece) const {
  const Section& where = section_of(piece);
  if (where.type == SHT_NOBITS) {
    return {};
  }
  return where.data.subspan(piece.offset, piece.size);
}

ByteView PieceGraph::prefix_bytes(const Piece& piece) const {
  const Section& where = section_of(piece);
  if (piece.prefix == 0 || where.type == SHT_NOBITS) {
    return {};
  }
  return where.data.subspan(piece.offset - piece.prefix, piece.prefix);
}

const elf::Section& PieceGraph::section_of(const Piece& piece) const {
  return object_->sections()[piece.section];
}

std::int32_t PieceGraph::find(std::uint32_t section, std::uint64_t offset) const {
  if (section >= by_section_.size() || by_section_[section].empty()) {
    return -1;
  }
  const auto& list = by_section_[section];
  auto it = std::ranges::upper_bound(list, offset, {},
                                     [&](std::int32_t index) { return piece(index).offset; });
  if (it == list.begin()) {
    return list.front();
  }
  return *std::prev(it);
}

std::pair<std::int32_t, std::int32_t> PieceGraph::neighbours(std::int32_t index) const {
  const Piece& own = piece(index);
  const auto& list = by_section_[own.section];
  auto at = std::ranges::find(list, index);
  auto touches = [&](const Piece& before, const Piece& after) {
    return before.size != 0 && before.offset + before.size == after.offset;
  };
  std::pair<std::int32_t, std::int32_t> out{-1, -1};
  if (at != list.begin() && touches(piece(*std::prev(at)), own)) {
    out.first = *std::prev(at);
  }
  if (std::next(at) != list.end() && touches(own, piece(*std::next(at)))) {
    out.second = *std::next(at);
  }
  return out;
}

Reference PieceGraph::resolve(const elf::Relocation& relocation) const {
  const Symbol& symbol = object_->symbols()[relocation.symbol];
  Reference reference{.offset = relocation.offset,
                      .type = relocation.type,
                      .symbol = relocation.symbol,
                      .target_offset = relocation.addend};
  if (!symbol.defined()) {
    return reference;
  }
  std::int64_t at = sum(symbol.value, relocation.addend);
  bool names_place =
      symbol.type == STT_SECTION || symbol.name.starts_with(".L") || symbol.type == STT_NOTYPE;
  std::int64_t probe = names_place ? at : static_cast<std::int64_t>(symbol.value);
  reference.target_piece =
      find(symbol.section, static_cast<std::uint64_t>(std::max<std::int64_t>(0, probe)));
  if (reference.target_piece >= 0) {
    const Piece& target = piece(reference.target_piece);
    reference.target_offset = distance(at, target.offset);
    reference.by_section = symbol.type == STT_SECTION && target.kind == PieceKind::data &&
                           by_section_[symbol.section].size() > 1 &&
                           !is_flag_section(object_->sections()[symbol.section].name);
  }
  return reference;
}

// Fills in the references of one piece.
Status PieceGraph::connect(Piece& from) {
  const Section& where = section_of(from);
  const bool code = is_code(where);
  std::vector<elf::Instruction> instructions;
  if (code) {
    instructions = arch_->decode(bytes(from));
  }
  auto around = [&](std::uint64_t offset) -> const elf::Instruction* {
    auto it = std::ranges::upper_bound(instructions, offset, {}, &elf::Instruction::offset);
    if (it == instructions.begin()) {
      return nullptr;
    }
    --it;
    return offset < std::uint64_t{it->offset} + it->length ? &*it : nullptr;
  };
  auto first =
      std::ranges::lower_bound(where.relocations, from.offset, {}, &elf::Relocation::offset);
  std::set<std::uint64_t> relocated;
  for (auto it = first; it != where.relocations.end() && it->offset < from.offset + from.size;
       ++it) {
    auto kind = arch_->relocation(it->type);
    std::uint64_t inside = it->offset - from.offset;
    if (it->type == R_X86_64_NONE) {
      continue;
    }
    if (!kind || inside + kind->size > from.size) {
      return fail(Code::special_section, fmt::format("{}+{:#x}", where.name, it->offset),
                  fmt::format("relocation type {} is not one that kernel code carries", it->type),
                  "report this with the diff: the architecture's traits need this type");
    }
    elf::Relocation adjusted = *it;
    std::int32_t bias = 0;
    bool branch = false;
    const elf::Instruction* insn = code ? around(inside) : nullptr;
    const bool access =
        insn != nullptr && insn->access != 0 && insn->offset + insn->access == inside;
    if (code && kind->pc_relative) {
      bias = insn == nullptr ? kind->size
                             : static_cast<std::int32_t>(insn->offset + insn->length - inside);
      branch = insn != nullptr && insn->is_branch;
      adjusted.addend = sum(static_cast<std::uint64_t>(bias), adjusted.addend);
    }
    Reference reference = resolve(adjusted);
    reference.offset = inside;
    reference.bias = bias;
    reference.is_branch = branch;
    reference.takes_address =
        !branch && (insn == nullptr || insn->memory == 0 || insn->offset + insn->memory != inside);
    reference.by_section = reference.by_section && !access;
    relocated.insert(inside);
    from.references.push_back(reference);
  }
  for (const elf::Instruction& insn : instructions) {
    if (!insn.is_branch || relocated.contains(insn.offset + insn.field)) {
      continue;
    }
    if (insn.target >= 0 && static_cast<std::uint64_t>(insn.target) < from.size) {
      continue;  // inside its own piece
    }
    std::int64_t at = static_cast<std::int64_t>(from.offset) + insn.target;
    if (at < 0 || static_cast<std::uint64_t>(at) >= where.size) {
      continue;  // an alternative's replacement: relative to where it will be copied to
    }
    std::int32_t target = find(from.section, static_cast<std::uint64_t>(at));
    if (target < 0) {
      continue;
    }
    from.references.push_back(
        Reference{.offset = std::uint64_t{insn.offset} + insn.field,
                  .type = insn.field_size == 4 ? arch_->call32() : 0,
                  .target_piece = target,
                  .symbol = piece(target).symbol,
                  .target_offset = at - static_cast<std::int64_t>(piece(target).offset),
                  .bias = static_cast<std::int32_t>(insn.length - insn.field),
                  .is_branch = true,
                  .synthetic = true});
  }
  std::ranges::stable_sort(from.references, {}, &Reference::offset);
  return {};
}

}  // namespace suture::diff
