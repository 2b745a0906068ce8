// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes kallsyms tables as scripts/kallsyms does, in the layouts that kernels have had.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "support/tiny_elf.h"

namespace suture::test {

struct KallsymsSymbol {
  char type;
  std::string name;
  std::uint64_t address;
};

struct KallsymsTables {
  std::vector<KallsymsSymbol> symbols;  // by address
  bool offsets_last = false;            // the layout since 6.4
  bool seqs = false;                    // kallsyms_seqs_of_names is there
  bool from_places = false;             // the layout of 7.x
  bool absolute_percpu = true;
  std::uint64_t relative_base = 0xffffffff81000000;
};

inline void append(Bytes& out, const Bytes& more) {
  out.insert(out.end(), more.begin(), more.end());
}

inline constexpr std::uint64_t rodata_address = 0xffffffff82000000;

inline void align_table(Bytes& out, std::size_t alignment = 8) {
  out.resize((out.size() + alignment - 1) & ~(alignment - 1));
}

// Every ASCII character is a token of its own; two more stand for longer texts, and the rest of the
// 256 are empty, as in a kernel with few symbols.
inline std::string kallsyms_token(unsigned token) {
  if (token == 0x80) {
    return "tcp_";
  }
  if (token == 0x81) {
    return "Tsys_";
  }
  return token > ' ' && token < 0x7f ? std::string(1, static_cast<char>(token)) : std::string();
}

// The name as tokens.
inline std::string kallsyms_pack(std::string text) {
  for (unsigned token : {0x81U, 0x80U}) {
    for (std::size_t at = 0; (at = text.find(kallsyms_token(token), at)) != std::string::npos;) {
      text.replace(at, kallsyms_token(token).size(), 1, static_cast<char>(token));
    }
  }
  return text;
}

inline Bytes kallsyms_offsets(const KallsymsTables& tables) {
  Bytes out;
  for (const KallsymsSymbol& symbol : tables.symbols) {
    std::uint64_t offset = symbol.address - tables.relative_base;
    if (tables.absolute_percpu) {
      offset = symbol.address < tables.relative_base ? symbol.address
                                                     : tables.relative_base - symbol.address - 1;
    }
    append_le(out, static_cast<std::uint32_t>(offset));
  }
  align_table(out);
  append_le(out, tables.relative_base);
  return out;
}

inline Bytes kallsyms_rodata(const KallsymsTables& tables) {
  const std::size_t alignment = tables.from_places ? 4 : 8;
  Bytes out = bytes_of("other read-only data first");
  align_table(out, alignment);
  if (!tables.offsets_last && !tables.from_places) {
    append(out, kallsyms_offsets(tables));
  }
  append_le(out, static_cast<std::uint32_t>(tables.symbols.size()));
  align_table(out, alignment);
  Bytes names;
  Bytes markers;
  for (std::size_t i = 0; i < tables.symbols.size(); ++i) {
    if (i % 256 == 0) {
      append_le(markers, static_cast<std::uint32_t>(names.size()));
    }
    const KallsymsSymbol& symbol = tables.symbols[i];
    const std::string packed = kallsyms_pack(symbol.type + symbol.name);
    if (packed.size() >= 0x80) {
      names.push_back(static_cast<std::uint8_t>(0x80 | (packed.size() & 0x7f)));
      names.push_back(static_cast<std::uint8_t>(packed.size() >> 7));
    } else {
      names.push_back(static_cast<std::uint8_t>(packed.size()));
    }
    append(names, bytes_of(packed));
  }
  const Bytes seqs(tables.symbols.size() * 3, 0x01);
  append(out, names);
  align_table(out, alignment);
  append(out, markers);
  align_table(out, alignment);
  if (tables.seqs && !tables.offsets_last) {
    append(out, seqs);
    align_table(out, alignment);
  }
  Bytes token_table;
  Bytes token_index;
  for (unsigned token = 0; token < 256; ++token) {
    append_le(token_index, static_cast<std::uint16_t>(token_table.size()));
    append(token_table, bytes_of(kallsyms_token(token) + '\0'));
  }
  append(out, token_table);
  align_table(out, alignment);
  append(out, token_index);
  if (tables.from_places) {
    for (const KallsymsSymbol& symbol : tables.symbols) {
      append_le(out, static_cast<std::uint32_t>(symbol.address - rodata_address - out.size()));
    }
    append(out, seqs);
  } else if (tables.offsets_last) {
    append(out, kallsyms_offsets(tables));
    append(out, seqs);
  }
  align_table(out, alignment);
  append(out, bytes_of("and more of it follows."));
  return out;
}

// A vmlinux with that .rodata and the other sections that kernel::Image asks for.
inline Bytes tiny_vmlinux(const Bytes& rodata, std::vector<TinySection> more = {}) {
  std::vector<TinySection> sections = {
      {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0xffffffff81000000, Bytes(4096, 0x90)},
      {".rodata", SHT_PROGBITS, SHF_ALLOC, rodata_address, rodata},
      {".notes", SHT_NOTE, SHF_ALLOC, 0xffffffff83000000, build_id_note({0xab, 0xcd, 0xef})},
  };
  sections.insert(sections.end(), more.begin(), more.end());
  return tiny_elf(ET_EXEC, sections);
}

}  // namespace suture::test
