// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what a module means is what stands in memory once the kernel has loaded it.
//
// Method: do what the kernel does (kernel/module/main.c, arch/x86/kernel/module.c,
// kernel/livepatch/core.c): place the allocated sections, resolve undefined symbols among the
// exports and their CRCs, apply ordinary relocations, then those for the livepatch core, whose
// symbols are looked up by object, name and position; of a patch for Suture's core, its records in
// the place of the latter. A relocation to a module's symbol is written when that module comes, so
// the field is marked, and the tables that the loader reads before that must not have one. Suture's
// core writes after the loader has done its work, so it must not have what the loader worked on.
//
// Invariants: a field is written once and was zero before; what is written fits.
#include "prove/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "prove/core_data.h"

namespace suture::prove {

namespace {

constexpr std::uint64_t base = 0xffffffffc0000000;
constexpr std::uint64_t largest = 0x1000000;  // bytes, of one section and of all together

std::unexpected<Error> refuse(std::string where, std::string reason) {
  return fail(Code::proof_failed, std::move(where), std::move(reason), "report this with the diff");
}

// "OBJECT" of ".klp.rela.OBJECT.SECTION".
std::optional<std::string_view> object_of(std::string_view section) {
  constexpr std::string_view prefix = ".klp.rela.";
  if (!section.starts_with(prefix)) {
    return std::nullopt;
  }
  section.remove_prefix(prefix.size());
  const std::size_t dot = section.find('.');
  return dot == 0 || dot == std::string_view::npos ? std::nullopt
                                                   : std::optional(section.substr(0, dot));
}

struct LivepatchName {
  std::string object;
  std::string_view name;
  std::uint64_t position = 0;
};

// ".klp.sym.OBJECT.NAME,POSITION".
std::optional<LivepatchName> parse_name(std::string_view symbol) {
  constexpr std::string_view prefix = ".klp.sym.";
  if (!symbol.starts_with(prefix)) {
    return std::nullopt;
  }
  symbol.remove_prefix(prefix.size());
  const std::size_t dot = symbol.find('.');
  const std::size_t comma = symbol.find(',');
  if (dot == 0 || dot == std::string_view::npos || comma == std::string_view::npos ||
      comma <= dot + 1 || comma + 1 >= symbol.size()) {
    return std::nullopt;
  }
  LivepatchName out{std::string(symbol.substr(0, dot)), symbol.substr(dot + 1, comma - dot - 1)};
  for (char digit : symbol.substr(comma + 1)) {
    if (digit < '0' || digit > '9' || out.position > 1000000) {
      return std::nullopt;
    }
    out.position = out.position * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  return out;
}

// What the loader reads before any module that the patch is for need be there.
bool is_read_early(const elf::Arch& arch, std::string_view section) {
  return section.starts_with(".altinstr") || section.starts_with(".orc_") ||
         std::ranges::any_of(arch.tables(), [&](const elf::TableLayout& table) {
           return table.section == section;
         });
}

// What the loader has done with, once it calls the module's notifiers (kernel/module/main.c:
// post_relocation() and module_finalize() come before prepare_coming_module()).
bool is_done_before_core(const elf::Arch& arch, std::string_view section) {
  const bool table =
      std::ranges::find(arch.tables(), section, &elf::TableLayout::section) != arch.tables().end();
  const bool of_keys = std::ranges::find(arch.key_tables(), section, &elf::KeyTable::section) !=
                       arch.key_tables().end();
  for (std::string_view start : {".orc_", ".init", ".exit", ".note", ".data..percpu"}) {
    if (section.starts_with(start)) {
      return true;
    }
  }
  for (std::string_view name : {".altinstr_replacement", ".ibt_endbr_seal", ".modinfo",
                                "__versions", ".gnu.linkonce.this_module"}) {
    if (section == name) {
      return true;
    }
  }
  return table && !of_keys;
}

bool fits(std::uint64_t value, const elf::RelocationKind& kind) {
  if (kind.size == 8) {
    return true;
  }
  return kind.sign_extended || kind.pc_relative
             ? static_cast<std::int64_t>(value) == static_cast<std::int32_t>(value)
             : value == static_cast<std::uint32_t>(value);
}

}  // namespace

Result<LoadedPatch> LoadedPatch::load(Bytes module, const elf::Arch& arch, Running& running) {
  LoadedPatch patch;
  patch.elf_ = TRY(elf::ObjectFile::parse(std::move(module), "the module"));
  if (patch.elf_.file_type() != ET_REL || patch.elf_.machine() != arch.machine()) {
    return refuse("ELF header", "it is no relocatable file for this architecture");
  }
  TRY(patch.place());
  TRY(patch.resolve_symbols(running));
  const auto& sections = patch.elf_.sections();
  for (std::uint32_t i = 1; i < sections.size(); ++i) {
    if (sections[i].type != SHT_RELA) {
      continue;
    }
    if (sections[i].info >= sections.size() || sections[i].link >= sections.size() ||
        sections[sections[i].link].type != SHT_SYMTAB) {
      return refuse(sections[i].name, "it relocates nothing, or by no symbols");
    }
    // kernel/module/main.c, layout_and_allocate(): per-CPU data counts as not allocated.
    const elf::Section& target = sections[sections[i].info];
    if ((target.flags & SHF_ALLOC) != 0 && target.name != ".data..percpu") {
      TRY(patch.relocate(i, arch, running));
    }
  }
  if (running.has_suture_core()) {
    TRY(patch.find_core_patch());
    TRY(patch.bind_by_core(arch, running));
  }
  return patch;
}

Status LoadedPatch::place() {
  std::uint64_t next = base;
  for (std::uint32_t i = 1; i < elf_.sections().size(); ++i) {
    const elf::Section& section = elf_.sections()[i];
    if ((section.flags & SHF_ALLOC) == 0 || section.type == SHT_RELA) {
      continue;
    }
    if (section.size > largest || next - base > largest) {
      return refuse(section.name, "it is larger than any patch");
    }
    // Modules are given pages, so the loader keeps to no wider alignment.
    if (section.alignment > 4096) {
      return refuse(section.name, "it wants a wider alignment than modules have");
    }
    const std::uint64_t align = std::max<std::uint64_t>(64, section.alignment);
    next = (next + align - 1) / align * align;
    Area area{.section = i, .address = next, .bytes = {section.data.begin(), section.data.end()}};
    area.bytes.resize(section.size);
    areas_.push_back(std::move(area));
    next += section.size + 64;  // an end is never another's start
  }
  return {};
}

Status LoadedPatch::check_versions(std::string_view name, std::uint32_t crc) const {
  const elf::Section* versions = elf_.section("__versions");
  if (versions == nullptr) {
    return crc == 0 ? Status{} : refuse(std::string(name), "the module states no CRC for it");
  }
  // struct modversion_info: a word, then the name, 64 bytes in all.
  constexpr std::uint64_t entry_size = 64;
  for (std::uint64_t at = 0; at + entry_size <= versions->data.size(); at += entry_size) {
    if (read_cstr(versions->data.subspan(at, entry_size), 8) == name) {
      return *read_le<std::uint64_t>(versions->data, at) == crc
                 ? Status{}
                 : refuse(std::string(name), "the CRC that the module states is not the kernel's");
    }
  }
  return refuse(std::string(name), "the module states no CRC for it");
}

Status LoadedPatch::resolve_symbols(Running& running) {
  addresses_.resize(elf_.symbols().size(), 0);
  std::map<std::uint32_t, std::uint64_t> bases;
  for (const Area& area : areas_) {
    bases.emplace(area.section, area.address);
  }
  const std::vector<std::string_view> imported = modinfo("import_ns");
  for (std::size_t i = 1; i < addresses_.size(); ++i) {
    const elf::Symbol& symbol = elf_.symbols()[i];
    if (symbol.defined()) {
      auto it = bases.find(symbol.section);
      addresses_[i] = (it == bases.end() ? 0 : it->second) + symbol.value;
    } else if (symbol.section == SHN_UNDEF) {
      const kernel::ImageExport* found = running.exported(symbol.name);
      if (found == nullptr) {
        return refuse(std::string(symbol.name), "nothing exports it to modules");
      }
      if (!found->name_space.empty() &&
          std::ranges::find(imported, found->name_space) == imported.end()) {
        return refuse(std::string(symbol.name), "its namespace is not imported");
      }
      TRY(check_versions(symbol.name, found->crc));
      addresses_[i] = found->address;
    } else if (symbol.section != elf::shn_livepatch || running.has_suture_core()) {
      return refuse(std::string(symbol.name), "a symbol of a kind that patches do not have");
    }
  }
  if (const kernel::ImageExport* layout = running.exported("module_layout")) {
    TRY(check_versions("module_layout", layout->crc));
  }
  return {};
}

Status LoadedPatch::relocate(std::uint32_t relocations, const elf::Arch& arch, Running& running) {
  const elf::Section& from = elf_.sections()[relocations];
  auto area = std::ranges::find(areas_, from.info, &Area::section);
  if (area == areas_.end()) {
    return refuse(from.name, "it relocates what is not loaded");
  }
  std::string object;
  if ((from.flags & elf::shf_rela_livepatch) != 0) {
    auto named = object_of(from.name);
    if (!named || (from.flags & SHF_ALLOC) == 0) {
      return refuse(from.name, "livepatch cannot tell which object it is for");
    }
    if (running.has_suture_core()) {
      return refuse(from.name, "Suture's core leaves it as it is");
    }
    object = *named;
    const std::string& target = elf_.sections()[from.info].name;
    if (object != "vmlinux" && (is_read_early(arch, target) || is_done_before_core(arch, target))) {
      return refuse(from.name, "the loader reads this before it is relocated");
    }
  }
  for (std::uint64_t at = 0; at + sizeof(Elf64_Rela) <= from.data.size();
       at += sizeof(Elf64_Rela)) {
    TRY(relocate_one(from, *area, at, arch, object, running));
  }
  return {};
}

Status LoadedPatch::relocate_one(const elf::Section& from, Area& area, std::uint64_t entry,
                                 const elf::Arch& arch, const std::string& object,
                                 Running& running) {
  const auto offset = *read_le<std::uint64_t>(from.data, entry);
  const auto info = *read_le<std::uint64_t>(from.data, entry + 8);
  const auto addend = *read_le<std::uint64_t>(from.data, entry + 16);
  const std::string where = fmt::format("{}+{:#x}", section_name(area), offset);
  if (ELF64_R_TYPE(info) == R_X86_64_NONE) {
    return {};
  }
  const auto kind = arch.relocation(static_cast<std::uint32_t>(ELF64_R_TYPE(info)));
  const std::uint64_t number = ELF64_R_SYM(info);
  if (!kind || number >= addresses_.size() || offset > area.bytes.size() ||
      kind->size > area.bytes.size() - offset) {
    return refuse(where, "a relocation that cannot be applied");
  }
  std::uint64_t value = addresses_[number];
  if (!object.empty()) {
    value = TRY(livepatch_value(from, elf_.symbols()[number], object, running));
  }
  return write_field(area, offset, value + addend,
                     Written{*kind, object == "vmlinux" ? std::string{} : object});
}

Status LoadedPatch::write_field(Area& area, std::uint64_t offset, std::uint64_t value,
                                Written written) {
  const std::string where = fmt::format("{}+{:#x}", section_name(area), offset);
  const elf::RelocationKind kind = written.kind;
  std::uint8_t* field = area.bytes.data() + offset;
  if (std::any_of(field, field + kind.size, [](std::uint8_t byte) { return byte != 0; }) ||
      written_.contains(area.address + offset)) {
    return refuse(where, "the field of a relocation is not zero");
  }
  if (kind.pc_relative) {
    value -= area.address + offset;
  }
  if (!fits(value, kind)) {
    return refuse(where, "a relocation does not fit its field");
  }
  std::memcpy(field, &value, kind.size);
  written_[area.address + offset] = std::move(written);
  return {};
}

// As the core does: by its name in the module's symbol table.
Status LoadedPatch::find_core_patch() {
  for (std::size_t i = 1; i < addresses_.size(); ++i) {
    const elf::Symbol& symbol = elf_.symbols()[i];
    if (symbol.defined() && symbol.name == "suture_patch") {
      if (core_patch_ != 0) {
        return refuse("suture_patch", "the symbol table has it twice");
      }
      core_patch_ = addresses_[i];
    }
  }
  return core_patch_ != 0 ? Status{}
                          : refuse("suture_patch", "the symbol table does not say where it is");
}

// What the patch's records say, once they have been read as a whole: a record may not change them.
Status LoadedPatch::bind_by_core(const elf::Arch& arch, Running& running) {
  const CorePatch data = TRY(read_core_patch(*this, core_patch_));
  for (const CoreRelocation& record : data.relocations) {
    const auto kind = arch.relocation(record.type);
    auto area = std::ranges::find_if(areas_, [&](const Area& it) {
      return record.place >= it.address && record.place - it.address < it.bytes.size();
    });
    if (!kind || area == areas_.end() ||
        kind->size > area->bytes.size() - (record.place - area->address)) {
      return refuse(describe(record.place), "a record for the core that cannot be applied");
    }
    const bool late = record.with != "vmlinux";
    if (is_done_before_core(arch, section_name(*area)) ||
        (late && is_read_early(arch, section_name(*area)))) {
      return refuse(describe(record.place), "the loader reads this before the core binds it");
    }
    const std::uint64_t meant = TRY(running.core_symbol(record.symbol));
    TRY(write_field(*area, record.place - area->address, meant + record.addend,
                    Written{*kind, late ? record.with : std::string{}, true}));
  }
  return {};
}

Result<std::uint64_t> LoadedPatch::livepatch_value(const elf::Section& from,
                                                   const elf::Symbol& symbol,
                                                   const std::string& object,
                                                   Running& running) const {
  auto name = symbol.section == elf::shn_livepatch ? parse_name(symbol.name) : std::nullopt;
  if (!name) {
    return refuse(std::string(symbol.name),
                  "it is no livepatch symbol, and " + from.name + " wants one");
  }
  if (object != "vmlinux" && name->object == "vmlinux") {
    return refuse(std::string(symbol.name),
                  "livepatch does not let a module's relocations reach vmlinux");
  }
  return running.livepatch_symbol(name->object, name->name, name->position);
}

const LoadedPatch::Area* LoadedPatch::area_at(std::uint64_t address) const {
  auto it = std::ranges::upper_bound(areas_, address, {}, &Area::address);
  if (it == areas_.begin()) {
    return nullptr;
  }
  --it;
  return address - it->address <= it->bytes.size() ? &*it : nullptr;
}

const LoadedPatch::Area* LoadedPatch::area(std::string_view section) const {
  auto it = std::ranges::find(areas_, section, [&](const Area& a) { return section_name(a); });
  return it == areas_.end() ? nullptr : &*it;
}

std::optional<ByteView> LoadedPatch::at(std::uint64_t address, std::uint64_t size) const {
  const Area* found = area_at(address);
  return found == nullptr ? std::nullopt : slice(found->bytes, address - found->address, size);
}

std::optional<std::string_view> LoadedPatch::text_at(std::uint64_t address) const {
  const Area* found = area_at(address);
  return found == nullptr ? std::nullopt : read_cstr(found->bytes, address - found->address);
}

std::vector<std::string_view> LoadedPatch::modinfo(std::string_view key) const {
  std::vector<std::string_view> out;
  for (std::string_view item : modinfo_items()) {
    if (item.size() > key.size() && item.starts_with(key) && item[key.size()] == '=') {
      out.push_back(item.substr(key.size() + 1));
    }
  }
  return out;
}

std::string LoadedPatch::modinfo_under(std::string_view prefix) const {
  std::string out;
  for (std::string_view item : modinfo_items()) {
    if (item.starts_with(prefix)) {
      out += std::string(item) + '\0';
    }
  }
  return out;
}

std::vector<std::string_view> LoadedPatch::modinfo_items() const {
  std::vector<std::string_view> out;
  const elf::Section* section = elf_.section(".modinfo");
  std::string_view rest = section == nullptr ? std::string_view{} : as_text(section->data);
  while (!rest.empty()) {
    out.push_back(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(rest.size(), out.back().size() + 1));
  }
  return out;
}

std::string LoadedPatch::describe(std::uint64_t address) const {
  const Area* found = area_at(address);
  return found == nullptr ? fmt::format("{:#x}", address)
                          : fmt::format("{}+{:#x}", section_name(*found), address - found->address);
}

}  // namespace suture::prove
