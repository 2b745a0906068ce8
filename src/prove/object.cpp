// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say what each relocated field of a compiled object means, in terms of the things that
// the source names.
//
// Method: cut each section where a symbol that names a thing begins; every byte up to the next one
// belongs to it. Mergeable sections stay whole: what is read there is content, not identity. A
// field's meaning is symbol plus addend, plus, in code, the distance from the field to the end of
// its instruction, which is what the processor adds; then the byte that is meant lies in the right
// thing even where the assembler named only the section.
//
// Invariants: parts of a section do not overlap and are sorted; a field lies inside its part.
#include "prove/object.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace suture::prove {

namespace {

constexpr std::string_view room_symbol = "__pfx_";

bool is_code(const elf::Section& section) { return (section.flags & SHF_EXECINSTR) != 0; }

// Labels of the compiler and of objtool name places, not things.
bool begins_a_part(const elf::Symbol& symbol, const elf::Section& section) {
  if (symbol.name.empty() || symbol.name.starts_with(".L") ||
      symbol.name.starts_with(room_symbol) ||
      symbol.name.starts_with("__UNIQUE_ID___addressable")) {
    return false;
  }
  return symbol.type == STT_FUNC || symbol.type == STT_OBJECT || symbol.type == STT_GNU_IFUNC ||
         (symbol.type == STT_NOTYPE && !is_code(section));
}

std::unexpected<Error> not_understood(const elf::Section& section, std::uint64_t offset,
                                      std::string what) {
  return fail(Code::proof_failed, fmt::format("{}+{:#x}", section.name, offset), std::move(what),
              "report this with the diff");
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool is_table(const elf::Arch& arch, std::string_view section) {
  constexpr std::string_view starts[] = {".orc_",          ".ibt_endbr_seal",
                                         ".discard",       ".comment",
                                         ".modinfo",       ".note",
                                         "___ksymtab",     "___kcrctab",
                                         "__ksymtab",      "__patchable_function_entries",
                                         ".export_symbol", ".suture."};
  return std::ranges::any_of(starts, [&](auto start) { return section.starts_with(start); }) ||
         std::ranges::any_of(arch.tables(), [&](const elf::TableLayout& table) {
           return table.section == section;
         });
}

bool is_exit(std::string_view section) { return section.starts_with(".exit"); }

bool is_boot_only(std::string_view section) {
  // What the kernel's linker script puts between __init_begin and __init_end, then what it reads at
  // boot alone.
  constexpr std::string_view starts[] = {
      ".init",           ".exit",        ".con_init",     ".data..init", ".lsm_info.init",
      ".early_lsm_info", ".dtb.init",    "___kentry",     ".ctors",      ".kunit_test",
      ".apicdrivers",    ".x86_cpu_dev", "__setup",       "__earlycon",  ".x86_intel_mid_dev",
      "__param",         ".pci_fixup",   "__tracepoints", ".BTF_ids"};
  constexpr std::string_view ends[] = {"_of_table", "_acpi_probe_table", "_thermal_table"};
  constexpr std::string_view names[] = {
      "_ftrace_events",     "_ftrace_eval_map",           "__syscalls_metadata", "__bpf_raw_tp_map",
      "__trace_printk_fmt", "_error_injection_whitelist", "_kprobe_blacklist"};
  return std::ranges::any_of(starts, [&](auto start) { return section.starts_with(start); }) ||
         (section.starts_with("__") &&
          std::ranges::any_of(ends, [&](auto end) { return section.ends_with(end); })) ||
         std::ranges::find(names, section) != std::end(names);
}

std::string_view unnumbered(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot != std::string_view::npos && dot > 0 && all_digits(name.substr(dot + 1))) {
    std::string_view stem = name.substr(0, dot);
    // The compiler's clones of functions are things of their own.
    for (std::string_view clone : {".isra", ".part", ".constprop", ".cold", ".localalias"}) {
      if (stem.ends_with(clone)) {
        return name;
      }
    }
    name = stem;
  }
  constexpr std::string_view unique = "__UNIQUE_ID_";
  if (const std::size_t at = name.find(unique); at != std::string_view::npos) {
    const std::size_t last = name.find_last_not_of("0123456789");
    name = name.substr(0, std::max(last + 1, at + unique.size()));
  }
  return name;
}

std::string_view split_from(std::string_view name) {
  const std::size_t at = name.find(".cold");
  return at == std::string_view::npos ? std::string_view{} : name.substr(0, at);
}

bool is_writable(const Object& object, const Part& part) {
  const elf::Section& section = object.section_of(part);
  return (section.flags & SHF_WRITE) != 0 && !section.name.starts_with(".data.rel.ro");
}

bool is_copy_as_good(const Object& object, const Part& part) {
  if (part.kind != PartKind::data) {
    return part.kind == PartKind::inline_code;
  }
  const std::string& section = object.section_of(part).name;
  if (section == "__dyndbg" || section == ".printk_index") {
    return true;
  }
  const std::string_view name = object.name(part);
  const std::string_view base = unnumbered(name);
  return !is_writable(object, part) &&
         (name.empty() || name.starts_with("C.") || base == "__func__" ||
          base == "__PRETTY_FUNCTION__" || base == "CSWTCH" || base == "_entry");
}

Result<Object> Object::open(const elf::ObjectFile& elf, const elf::Arch& arch) {
  Object object;
  object.elf_ = &elf;
  object.arch_ = &arch;
  const auto& sections = elf.sections();
  object.by_section_.resize(sections.size());
  object.merged_.resize(sections.size(), false);
  std::vector<std::vector<std::uint32_t>> named(sections.size());
  for (std::uint32_t i = 1; i < elf.symbols().size(); ++i) {
    const elf::Symbol& symbol = elf.symbols()[i];
    if (symbol.defined() && begins_a_part(symbol, sections[symbol.section])) {
      named[symbol.section].push_back(i);
    }
  }
  for (std::uint32_t i = 1; i < sections.size(); ++i) {
    const elf::Section& section = sections[i];
    if ((section.flags & SHF_ALLOC) == 0 || section.type == SHT_NOTE ||
        is_table(arch, section.name)) {
      continue;
    }
    if ((section.flags & SHF_MERGE) != 0) {
      object.merged_[i] = true;
    } else if (is_code(section) && named[i].empty()) {
      object.cut_inline_code(i);
    } else {
      object.cut(i, std::move(named[i]));
    }
  }
  // The room before an entry is stated by a symbol of its own that ends at the entry.
  for (const elf::Symbol& symbol : elf.symbols()) {
    if (symbol.defined() && symbol.name.starts_with(room_symbol) && symbol.size != 0) {
      const std::int32_t at = object.part_at(symbol.section, symbol.value + symbol.size);
      if (at >= 0 && object.part(at).start == symbol.value + symbol.size) {
        object.parts_[static_cast<std::size_t>(at)].room = symbol.size;
      }
    }
  }
  return object;
}

void Object::add(Part part) {
  by_section_[part.section].push_back(static_cast<std::int32_t>(parts_.size()));
  parts_.push_back(std::move(part));
}

void Object::cut(std::uint32_t section, std::vector<std::uint32_t> symbols) {
  const elf::Section& where = elf_->sections()[section];
  const auto& table = elf_->symbols();
  const PartKind kind = is_code(where) ? PartKind::code : PartKind::data;
  // At one place the symbol with a size comes first, then the global one.
  std::ranges::stable_sort(symbols, {}, [&](std::uint32_t i) {
    const elf::Symbol& symbol = table[i];
    return std::tuple(symbol.value, symbol.size == 0, symbol.binding == STB_LOCAL);
  });
  std::uint64_t first =
      symbols.empty() ? where.size : std::min(where.size, table[symbols[0]].value);
  bool only_room = kind == PartKind::code && !symbols.empty();
  if (first > 0 && !only_room) {
    add(Part{.kind = kind, .section = section, .start = 0, .size = first});
  }
  for (std::size_t i = 0; i < symbols.size();) {
    const elf::Symbol& symbol = table[symbols[i]];
    Part part{.kind = kind, .section = section, .start = std::min(symbol.value, where.size)};
    for (; i < symbols.size() && table[symbols[i]].value == symbol.value; ++i) {
      part.symbols.push_back(symbols[i]);
    }
    const std::uint64_t end =
        i < symbols.size() ? std::min(where.size, table[symbols[i]].value) : where.size;
    part.size = symbol.size == 0 ? end - part.start : std::min(symbol.size, end - part.start);
    add(std::move(part));
  }
}

// It is cut wherever something points into it: each such place is used by itself.
void Object::cut_inline_code(std::uint32_t section) {
  const elf::Section& where = elf_->sections()[section];
  std::set<std::uint64_t> starts{0};
  for (const elf::Section& other : elf_->sections()) {
    for (const elf::Relocation& relocation : other.relocations) {
      const elf::Symbol& symbol = elf_->symbols()[relocation.symbol];
      if (symbol.section != section || &other == &where) {
        continue;
      }
      const auto kind = arch_->relocation(relocation.type);
      const std::int64_t bias = is_code(other) && kind && kind->pc_relative ? kind->size : 0;
      const std::int64_t at = static_cast<std::int64_t>(symbol.value) + relocation.addend + bias;
      if (at > 0 && static_cast<std::uint64_t>(at) < where.size) {
        starts.insert(static_cast<std::uint64_t>(at));
      }
    }
  }
  for (auto it = starts.begin(); it != starts.end(); ++it) {
    const std::uint64_t end = std::next(it) == starts.end() ? where.size : *std::next(it);
    add(Part{.kind = PartKind::inline_code, .section = section, .start = *it, .size = end - *it});
  }
}

bool Object::global(const Part& part) const {
  return std::ranges::any_of(part.symbols, [&](std::uint32_t symbol) {
    return elf_->symbols()[symbol].binding != STB_LOCAL;
  });
}

ByteView Object::bytes(const Part& part) const {
  const elf::Section& section = section_of(part);
  return section.type == SHT_NOBITS ? ByteView{} : section.data.subspan(part.start, part.size);
}

std::int32_t Object::part_at(std::uint32_t section, std::uint64_t offset) const {
  const auto& list = by_section_[section];
  auto it =
      std::ranges::upper_bound(list, offset, {}, [&](std::int32_t i) { return part(i).start; });
  if (it == list.begin()) {
    return list.empty() ? -1 : list.front();
  }
  return *std::prev(it);
}

Target Object::resolve(std::uint32_t index, std::int64_t points_at) const {
  const elf::Symbol& symbol = elf_->symbols()[index];
  if (!symbol.defined()) {
    return Target{.symbol = index, .offset = points_at};
  }
  points_at += static_cast<std::int64_t>(symbol.value);
  if (merged_[symbol.section]) {
    return Target{.merged = symbol.section, .offset = points_at};
  }
  // A symbol that names a thing means that thing, however far from its start the place lies.
  const bool names = begins_a_part(symbol, elf_->sections()[symbol.section]);
  const std::int64_t probe =
      names ? static_cast<std::int64_t>(symbol.value) : std::max<std::int64_t>(0, points_at);
  Target target{.part = part_at(symbol.section, static_cast<std::uint64_t>(probe)),
                .offset = points_at};
  if (target.part >= 0) {
    target.offset -= static_cast<std::int64_t>(part(target.part).start);
  } else {
    target.symbol = index;
  }
  return target;
}

Result<Field> Object::field(const elf::Relocation& relocation, std::uint64_t from,
                            std::int32_t bias) const {
  return Field{.offset = relocation.offset - from,
               .kind = *arch_->relocation(relocation.type),
               .bias = bias,
               .target = resolve(relocation.symbol, relocation.addend + bias)};
}

Result<std::vector<Field>> Object::fields(std::uint32_t section, std::uint64_t from,
                                          std::uint64_t to) const {
  const elf::Section& where = elf_->sections()[section];
  std::vector<Field> out;
  auto it = std::ranges::lower_bound(where.relocations, from, {}, &elf::Relocation::offset);
  for (; it != where.relocations.end() && it->offset < to; ++it) {
    if (it->type == R_X86_64_NONE) {
      continue;
    }
    const auto kind = arch_->relocation(it->type);
    if (!kind || it->offset + kind->size > to) {
      return not_understood(where, it->offset,
                            fmt::format("relocation type {} is not understood", it->type));
    }
    out.push_back(TRY(field(*it, from, 0)));
  }
  return out;
}

Result<std::vector<Field>> Object::fields(const Part& part) const {
  const elf::Section& where = section_of(part);
  std::vector<Field> out = TRY(fields(part.section, part.start, part.start + part.size));
  if (part.kind == PartKind::data) {
    return out;
  }
  const ByteView code = bytes(part);
  const std::size_t relocated = out.size();
  std::size_t next = 0;
  std::uint64_t at = 0;
  while (auto insn = arch_->next(code, at)) {
    const std::uint64_t end = at + insn->length;
    bool has_relocation = false;
    for (; next < relocated && out[next].offset < end; ++next) {
      Field& found = out[next];
      found.branch = insn->is_branch;
      found.address = !insn->is_branch && (insn->memory == 0 || found.offset != at + insn->memory);
      has_relocation = has_relocation || found.offset == at + insn->field;
      if (found.kind.pc_relative) {
        const auto& list = where.relocations;
        auto raw =
            std::ranges::lower_bound(list, part.start + found.offset, {}, &elf::Relocation::offset);
        found.bias = static_cast<std::int32_t>(end - found.offset);
        found.target = resolve(raw->symbol, raw->addend + found.bias);
      }
    }
    const std::int64_t to = static_cast<std::int64_t>(part.start) + insn->target;
    const bool leaves =
        insn->is_branch && !has_relocation && part.kind == PartKind::code &&
        (insn->target < 0 || static_cast<std::uint64_t>(insn->target) >= part.size) && to >= 0 &&
        static_cast<std::uint64_t>(to) < where.size;
    if (leaves) {
      const std::int32_t target = part_at(part.section, static_cast<std::uint64_t>(to));
      out.push_back(
          Field{.offset = at + insn->field,
                .kind = {.size = insn->field_size, .pc_relative = true, .sign_extended = true},
                .bias = insn->length - insn->field,
                .branch = true,
                .resolved = true,
                .target = {.part = target,
                           .offset = to - static_cast<std::int64_t>(this->part(target).start)}});
    }
    at = end;
  }
  if (next < relocated) {
    return not_understood(where, part.start + at, "its code does not decode");
  }
  std::ranges::stable_sort(out, {}, &Field::offset);
  return out;
}

std::optional<Object::Content> Object::content(std::uint32_t merged, std::int64_t offset) const {
  const elf::Section& section = elf_->sections()[merged];
  if (offset < 0 || static_cast<std::uint64_t>(offset) >= section.data.size()) {
    return std::nullopt;
  }
  const auto at = static_cast<std::uint64_t>(offset);
  const std::uint64_t step = std::max<std::uint64_t>(1, section.entry_size);
  if ((section.flags & SHF_STRINGS) == 0) {
    const std::uint64_t entry = at / step * step;
    return Content{section.data.subspan(entry, std::min(step, section.data.size() - entry)),
                   at - entry};
  }
  std::uint64_t end = at;
  for (bool ended = false; !ended && end + step <= section.data.size(); end += step) {
    ended = std::ranges::all_of(section.data.subspan(end, step), [](auto b) { return b == 0; });
  }
  return Content{section.data.subspan(at, end - at), 0};
}

}  // namespace suture::prove
