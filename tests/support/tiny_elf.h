// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes small ELF64 files for tests, section by section, without any check: tests of damaged input
// need files that no assembler would make.
#pragma once

#include <elf.h>

#include <string>
#include <vector>

#include "base/bytes.h"

namespace suture::test {

struct TinySection {
  std::string name;
  std::uint32_t type = SHT_PROGBITS;
  std::uint64_t flags = SHF_ALLOC;
  std::uint64_t address = 0;
  Bytes data;
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  std::uint64_t entry_size = 0;
  std::uint64_t size = 0;  // where it is not that of the data
};

struct TinySymbol {
  std::string name;
  std::uint16_t section = SHN_UNDEF;  // 1 is the first section given
  std::uint64_t value = 0;
  unsigned char type = STT_FUNC;
  unsigned char binding = STB_LOCAL;
  std::uint64_t size = 0;
};

inline Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes(text);
  return {view.begin(), view.end()};
}

template <class T>
void append_struct(Bytes& out, const T& value) {
  const auto* start = reinterpret_cast<const std::uint8_t*>(&value);
  out.insert(out.end(), start, start + sizeof(T));
}

// The sections in the order given from number 1 on, then .symtab and .strtab where there are
// symbols, then .shstrtab.
inline Bytes tiny_elf(std::uint16_t file_type, std::vector<TinySection> sections,
                      const std::vector<TinySymbol>& symbols = {}) {
  if (!symbols.empty()) {
    Bytes table;
    Bytes strings{0};
    append_struct(table, Elf64_Sym{});
    for (const TinySymbol& symbol : symbols) {
      Elf64_Sym entry{};
      entry.st_name = symbol.name.empty() ? 0 : static_cast<Elf64_Word>(strings.size());
      entry.st_info = ELF64_ST_INFO(symbol.binding, symbol.type);
      entry.st_shndx = symbol.section;
      entry.st_value = symbol.value;
      entry.st_size = symbol.size;
      append_struct(table, entry);
      const Bytes name = bytes_of(symbol.name + '\0');
      strings.insert(strings.end(), name.begin(), name.end());
    }
    const auto strings_number = static_cast<std::uint32_t>(sections.size() + 2);
    sections.push_back({".symtab", SHT_SYMTAB, 0, 0, table, strings_number, 1, sizeof(Elf64_Sym)});
    sections.push_back({".strtab", SHT_STRTAB, 0, 0, strings});
  }
  sections.push_back({".shstrtab", SHT_STRTAB, 0, 0, {}});
  Bytes names{0};
  std::vector<Elf64_Word> name_at;
  for (const TinySection& section : sections) {
    name_at.push_back(static_cast<Elf64_Word>(names.size()));
    const Bytes name = bytes_of(section.name + '\0');
    names.insert(names.end(), name.begin(), name.end());
  }
  sections.back().data = names;

  Bytes body;
  Bytes headers;
  append_struct(headers, Elf64_Shdr{});
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const TinySection& section = sections[i];
    body.resize((body.size() + 15) & ~std::size_t{15});
    Elf64_Shdr header{};
    header.sh_name = name_at[i];
    header.sh_type = section.type;
    header.sh_flags = section.flags;
    header.sh_addr = section.address;
    header.sh_offset = sizeof(Elf64_Ehdr) + body.size();
    header.sh_size = section.size != 0 ? section.size : section.data.size();
    header.sh_link = section.link;
    header.sh_info = section.info;
    header.sh_addralign = 8;
    header.sh_entsize = section.entry_size;
    append_struct(headers, header);
    body.insert(body.end(), section.data.begin(), section.data.end());
  }
  body.resize((body.size() + 15) & ~std::size_t{15});

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = file_type;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_shoff = sizeof(Elf64_Ehdr) + body.size();
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections.size() + 1);
  header.e_shstrndx = static_cast<Elf64_Half>(sections.size());
  Bytes out;
  append_struct(out, header);
  out.insert(out.end(), body.begin(), body.end());
  out.insert(out.end(), headers.begin(), headers.end());
  return out;
}

// A note of the kind that carries a build id.
inline Bytes build_id_note(const Bytes& id) {
  Bytes note;
  append_le<std::uint32_t>(note, 4);
  append_le(note, static_cast<std::uint32_t>(id.size()));
  append_le<std::uint32_t>(note, NT_GNU_BUILD_ID);
  append_le<std::uint32_t>(note, 0x00554e47);  // "GNU"
  note.insert(note.end(), id.begin(), id.end());
  return note;
}

}  // namespace suture::test
