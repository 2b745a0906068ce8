// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/object.h"

#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>

#include "elf/runtime_constants.h"

namespace suture::elf {

namespace {

struct ElfCloser {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfCloser>;

std::unexpected<Error> bad(const std::string& where, std::string reason) {
  return fail(Code::bad_elf, where, std::move(reason),
              "the file is cut off or damaged: fetch or build it again");
}

Result<Section> read_section(Elf* elf, std::size_t names, std::size_t number, ByteView bytes,
                             const std::string& where) {
  GElf_Shdr header{};
  Elf_Scn* scn = elf_getscn(elf, number);
  if (scn == nullptr || gelf_getshdr(scn, &header) == nullptr) {
    return bad(where, fmt::format("section header {} cannot be read", number));
  }
  const char* name = elf_strptr(elf, names, header.sh_name);
  if (name == nullptr) {
    return bad(where, fmt::format("section {} has no valid name", number));
  }
  Section section;
  section.name = name;
  section.type = header.sh_type;
  section.flags = header.sh_flags;
  section.address = header.sh_addr;
  section.size = header.sh_size;
  section.alignment = std::max<std::uint64_t>(1, header.sh_addralign);
  section.entry_size = header.sh_entsize;
  section.link = header.sh_link;
  section.info = header.sh_info;
  if (section.type != SHT_NOBITS) {
    auto data = slice(bytes, header.sh_offset, header.sh_size);
    if (!data) {
      return bad(where, fmt::format("section {} ends past the end of the file", section.name));
    }
    section.data = *data;
  }
  return section;
}

// The number of the symbol table, 0 where there is none.
std::uint32_t find_symbol_table(const std::vector<Section>& sections) {
  auto found = std::ranges::find(sections, std::uint32_t{SHT_SYMTAB}, &Section::type);
  return found == sections.end() ? 0 : static_cast<std::uint32_t>(found - sections.begin());
}

Result<std::vector<Symbol>> read_symbols(Elf* elf, const std::vector<Section>& sections,
                                         std::uint32_t table_number, const std::string& where) {
  const Section& table = sections[table_number];
  if (table.link >= sections.size() || table.size % sizeof(Elf64_Sym) != 0) {
    return bad(where, "the symbol table is malformed");
  }
  Elf_Data* data = elf_getdata(elf_getscn(elf, table_number), nullptr);
  // Symbols of objects with 65,280 sections or more keep their section number elsewhere.
  Elf_Data* wide = nullptr;
  for (std::size_t i = 1; i < sections.size(); ++i) {
    if (sections[i].type == SHT_SYMTAB_SHNDX && sections[i].link == table_number) {
      wide = elf_getdata(elf_getscn(elf, i), nullptr);
    }
  }
  std::vector<Symbol> symbols(table.size / sizeof(Elf64_Sym));
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    GElf_Sym sym{};
    Elf32_Word wide_index = 0;
    if (data == nullptr ||
        gelf_getsymshndx(data, wide, static_cast<int>(i), &sym, &wide_index) == nullptr) {
      return bad(where, fmt::format("symbol {} cannot be read", i));
    }
    auto name = read_cstr(sections[table.link].data, sym.st_name);
    if (!name && sym.st_name != 0) {
      return bad(where, fmt::format("symbol {} has no valid name", i));
    }
    const bool reserved = sym.st_shndx != SHN_XINDEX && sym.st_shndx >= SHN_LORESERVE;
    const std::uint32_t home = sym.st_shndx == SHN_XINDEX ? wide_index : sym.st_shndx;
    if (!reserved && home >= sections.size()) {
      return bad(where, fmt::format("symbol {} lies in a section that is not there", i));
    }
    symbols[i] = Symbol{.name = name.value_or(std::string_view{}),
                        .value = sym.st_value,
                        .size = sym.st_size,
                        .binding = static_cast<std::uint8_t>(GELF_ST_BIND(sym.st_info)),
                        .type = static_cast<std::uint8_t>(GELF_ST_TYPE(sym.st_info)),
                        .visibility = static_cast<std::uint8_t>(GELF_ST_VISIBILITY(sym.st_other)),
                        .section = home};
  }
  return symbols;
}

// Reads the SHT_RELA section of that number into the section that it patches.
Status read_relocations(Elf* elf, std::size_t number, std::size_t symbol_count,
                        std::vector<Section>& sections, const std::string& where) {
  const Section& rela = sections[number];
  if (rela.info >= sections.size() || rela.size % sizeof(Elf64_Rela) != 0) {
    return bad(where, fmt::format("relocation section {} is malformed", rela.name));
  }
  Section& target = sections[rela.info];
  Elf_Data* data = elf_getdata(elf_getscn(elf, number), nullptr);
  const std::size_t total = rela.size / sizeof(Elf64_Rela);
  target.relocations.reserve(target.relocations.size() + total);
  for (std::size_t i = 0; i < total; ++i) {
    GElf_Rela entry{};
    if (data == nullptr || gelf_getrela(data, static_cast<int>(i), &entry) == nullptr) {
      return bad(where, fmt::format("relocation {} of {} cannot be read", i, rela.name));
    }
    if (GELF_R_SYM(entry.r_info) >= symbol_count || entry.r_offset >= target.data.size()) {
      return bad(where, fmt::format("relocation {} of {} points outside", i, rela.name));
    }
    target.relocations.push_back(
        Relocation{.offset = entry.r_offset,
                   .type = static_cast<std::uint32_t>(GELF_R_TYPE(entry.r_info)),
                   .symbol = static_cast<std::uint32_t>(GELF_R_SYM(entry.r_info)),
                   .addend = entry.r_addend});
  }
  return {};
}

}  // namespace

Result<ObjectFile> ObjectFile::open(const fs::path& path) {
  ObjectFile object;
  object.mapping_ = std::make_shared<MappedFile>(TRY(MappedFile::open(path)));
  TRY(object.read(object.mapping_->bytes(), path.string()));
  return object;
}

Result<ObjectFile> ObjectFile::parse(Bytes bytes, const std::string& where) {
  ObjectFile object;
  object.owned_ = std::make_shared<Bytes>(std::move(bytes));
  TRY(object.read(*object.owned_, where));
  return object;
}

Status ObjectFile::read(ByteView bytes, const std::string& where) {
  elf_version(EV_CURRENT);
  // libelf takes a mutable image, but only writes to it under ELF_C_RDWR or elf_update.
  auto* image = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));
  if (bytes.size() < sizeof(Elf64_Ehdr)) {
    return bad(where, "the file is too short for an ELF header");
  }
  ElfHandle elf(elf_memory(image, bytes.size()));
  GElf_Ehdr header{};
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || gelf_getehdr(elf.get(), &header) == nullptr) {
    return bad(where, "it is not an ELF file");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return bad(where, "it is not a 64-bit little-endian ELF file");
  }
  file_type_ = header.e_type;
  machine_ = header.e_machine;

  std::size_t count = 0;
  std::size_t names = 0;
  if (elf_getshdrnum(elf.get(), &count) != 0 || elf_getshdrstrndx(elf.get(), &names) != 0) {
    return bad(where, "the section headers cannot be read");
  }
  sections_.resize(count);
  for (std::size_t i = 1; i < count; ++i) {
    sections_[i] = TRY(read_section(elf.get(), names, i, bytes, where));
  }
  const std::uint32_t symbol_table = find_symbol_table(sections_);
  if (symbol_table != 0) {
    symbols_ = TRY(read_symbols(elf.get(), sections_, symbol_table, where));
  }
  if (symbols_.empty()) {
    symbols_.emplace_back();
  }
  if (file_type_ != ET_REL || symbol_table == 0) {
    return {};
  }
  for (std::size_t i = 1; i < count; ++i) {
    if (sections_[i].type == SHT_RELA && sections_[i].link == symbol_table) {
      TRY(read_relocations(elf.get(), i, symbols_.size(), sections_, where));
    }
  }
  for (Section& section : sections_) {
    std::ranges::stable_sort(section.relocations, {}, &Relocation::offset);
  }
  read_variables_for_constants(*this);
  return {};
}

void ObjectFile::set_data(std::uint32_t section, Bytes data) {
  changed_.push_back(std::make_shared<const Bytes>(std::move(data)));
  sections_[section].data = *changed_.back();
}

void ObjectFile::drop(std::uint32_t section) {
  sections_[section].flags &= ~std::uint64_t{SHF_ALLOC};
  sections_[section].relocations.clear();
}

void ObjectFile::add_relocation(std::uint32_t section, Relocation relocation) {
  auto& all = sections_[section].relocations;
  all.insert(std::ranges::upper_bound(all, relocation.offset, {}, &Relocation::offset), relocation);
}

std::uint32_t ObjectFile::symbol_named(std::string_view name) {
  auto it = std::ranges::find(symbols_, name, &Symbol::name);
  if (it == symbols_.end()) {
    names_.push_back(std::make_shared<const std::string>(name));
    symbols_.push_back(Symbol{.name = *names_.back(), .binding = STB_GLOBAL});
    it = std::prev(symbols_.end());
  }
  return static_cast<std::uint32_t>(it - symbols_.begin());
}

std::optional<std::uint32_t> ObjectFile::find_section(std::string_view name) const {
  for (std::size_t i = 1; i < sections_.size(); ++i) {
    if (sections_[i].name == name) {
      return static_cast<std::uint32_t>(i);
    }
  }
  return std::nullopt;
}

const Section* ObjectFile::section(std::string_view name) const {
  auto index = find_section(name);
  return index ? &sections_[*index] : nullptr;
}

std::optional<std::string> build_id(ByteView notes) {
  std::uint64_t offset = 0;
  while (auto name_size = read_le<std::uint32_t>(notes, offset)) {
    auto desc_size = read_le<std::uint32_t>(notes, offset + 4);
    auto type = read_le<std::uint32_t>(notes, offset + 8);
    if (!desc_size || !type) {
      break;
    }
    std::uint64_t name_at = offset + 12;
    std::uint64_t desc_at = name_at + ((std::uint64_t{*name_size} + 3) & ~std::uint64_t{3});
    auto name = slice(notes, name_at, *name_size);
    auto desc = slice(notes, desc_at, *desc_size);
    if (!name || !desc) {
      break;
    }
    if (*type == NT_GNU_BUILD_ID && as_text(*name) == std::string_view("GNU\0", 4)) {
      return to_hex(*desc);
    }
    offset = desc_at + ((std::uint64_t{*desc_size} + 3) & ~std::uint64_t{3});
  }
  return std::nullopt;
}

std::string_view compiler(const Section& comment) {
  std::string_view text = as_text(comment.data);
  text.remove_prefix(std::min(text.size(), text.find_first_not_of('\0')));
  text = text.substr(0, text.find('\0'));
  constexpr std::string_view start = "GCC: ";
  return text.starts_with(start) ? text.substr(start.size()) : text;
}

}  // namespace suture::elf
