// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/object.h"

#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>

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

bool fits(std::uint64_t offset, std::uint64_t size, std::uint64_t limit) {
  return offset <= limit && size <= limit - offset;
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
  std::uint32_t symbol_table = 0;
  for (std::size_t i = 1; i < count; ++i) {
    GElf_Shdr shdr{};
    Elf_Scn* scn = elf_getscn(elf.get(), i);
    if (scn == nullptr || gelf_getshdr(scn, &shdr) == nullptr) {
      return bad(where, fmt::format("section header {} cannot be read", i));
    }
    const char* name = elf_strptr(elf.get(), names, shdr.sh_name);
    if (name == nullptr) {
      return bad(where, fmt::format("section {} has no valid name", i));
    }
    Section& section = sections_[i];
    section.name = name;
    section.type = shdr.sh_type;
    section.flags = shdr.sh_flags;
    section.address = shdr.sh_addr;
    section.size = shdr.sh_size;
    section.alignment = std::max<std::uint64_t>(1, shdr.sh_addralign);
    section.entry_size = shdr.sh_entsize;
    section.link = shdr.sh_link;
    section.info = shdr.sh_info;
    if (section.type != SHT_NOBITS) {
      if (!fits(shdr.sh_offset, shdr.sh_size, bytes.size())) {
        return bad(where, fmt::format("section {} ends past the end of the file", section.name));
      }
      section.data = bytes.subspan(shdr.sh_offset, shdr.sh_size);
    }
    if (section.type == SHT_SYMTAB) {
      symbol_table = static_cast<std::uint32_t>(i);
    }
  }

  if (symbol_table != 0) {
    const Section& table = sections_[symbol_table];
    if (table.link >= count || table.size % sizeof(Elf64_Sym) != 0) {
      return bad(where, "the symbol table is malformed");
    }
    Elf_Data* data = elf_getdata(elf_getscn(elf.get(), symbol_table), nullptr);
    // Symbols of objects with 65,280 sections or more keep their section number elsewhere.
    Elf_Data* wide = nullptr;
    for (std::size_t i = 1; i < count; ++i) {
      if (sections_[i].type == SHT_SYMTAB_SHNDX && sections_[i].link == symbol_table) {
        wide = elf_getdata(elf_getscn(elf.get(), i), nullptr);
      }
    }
    ByteView strings = sections_[table.link].data;
    std::size_t total = table.size / sizeof(Elf64_Sym);
    symbols_.resize(total);
    for (std::size_t i = 0; i < total; ++i) {
      GElf_Sym sym{};
      Elf32_Word wide_index = 0;
      if (data == nullptr ||
          gelf_getsymshndx(data, wide, static_cast<int>(i), &sym, &wide_index) == nullptr) {
        return bad(where, fmt::format("symbol {} cannot be read", i));
      }
      auto name = read_cstr(strings, sym.st_name);
      if (!name && sym.st_name != 0) {
        return bad(where, fmt::format("symbol {} has no valid name", i));
      }
      std::uint32_t home = sym.st_shndx == SHN_XINDEX ? wide_index : sym.st_shndx;
      bool reserved = sym.st_shndx != SHN_XINDEX && sym.st_shndx >= SHN_LORESERVE;
      if (!reserved && home >= count) {
        return bad(where, fmt::format("symbol {} lies in a section that is not there", i));
      }
      symbols_[i] = Symbol{.name = name.value_or(std::string_view{}),
                           .value = sym.st_value,
                           .size = sym.st_size,
                           .binding = static_cast<std::uint8_t>(GELF_ST_BIND(sym.st_info)),
                           .type = static_cast<std::uint8_t>(GELF_ST_TYPE(sym.st_info)),
                           .visibility = static_cast<std::uint8_t>(
                               GELF_ST_VISIBILITY(sym.st_other)),
                           .section = home};
    }
  }

  if (file_type_ != ET_REL) {
    return {};
  }
  for (std::size_t i = 1; i < count; ++i) {
    const Section& rela = sections_[i];
    if (rela.type != SHT_RELA || rela.link != symbol_table || symbol_table == 0) {
      continue;
    }
    if (rela.info >= count || rela.size % sizeof(Elf64_Rela) != 0) {
      return bad(where, fmt::format("relocation section {} is malformed", rela.name));
    }
    Section& target = sections_[rela.info];
    Elf_Data* data = elf_getdata(elf_getscn(elf.get(), i), nullptr);
    std::size_t total = rela.size / sizeof(Elf64_Rela);
    target.relocations.reserve(target.relocations.size() + total);
    for (std::size_t k = 0; k < total; ++k) {
      GElf_Rela entry{};
      if (data == nullptr || gelf_getrela(data, static_cast<int>(k), &entry) == nullptr) {
        return bad(where, fmt::format("relocation {} of {} cannot be read", k, rela.name));
      }
      if (GELF_R_SYM(entry.r_info) >= symbols_.size() || entry.r_offset >= target.size) {
        return bad(where, fmt::format("relocation {} of {} points outside", k, rela.name));
      }
      target.relocations.push_back(
          Relocation{.offset = entry.r_offset,
                     .type = static_cast<std::uint32_t>(GELF_R_TYPE(entry.r_info)),
                     .symbol = static_cast<std::uint32_t>(GELF_R_SYM(entry.r_info)),
                     .addend = entry.r_addend});
    }
  }
  for (Section& section : sections_) {
    std::ranges::stable_sort(section.relocations, {}, &Relocation::offset);
  }
  return {};
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

}  // namespace suture::elf
