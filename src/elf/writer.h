// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writing relocatable ELF64 objects. The caller states sections, symbols and relocations; this lays
// them out and gives the bytes. The same input gives the same bytes.
#pragma once

#include <string>
#include <vector>

#include "elf/object.h"

namespace suture::elf {

struct OutRelocation {
  std::uint64_t offset = 0;
  std::uint32_t type = 0;
  std::uint32_t symbol = 0;  // index into OutObject::symbols
  std::int64_t addend = 0;
};

struct OutSection {
  std::string name;
  std::uint32_t type = SHT_PROGBITS;
  std::uint64_t flags = 0;
  std::uint64_t alignment = 1;
  std::uint64_t entry_size = 0;
  Bytes data;
  std::uint64_t size = 0;  // of SHT_NOBITS; otherwise data.size() counts
};

// A SHT_RELA section. `flags` is SHF_INFO_LINK for an ordinary one.
struct OutRelocations {
  std::string name;
  std::uint64_t flags = SHF_INFO_LINK;
  std::uint32_t target = 0;  // index into OutObject::sections
  std::vector<OutRelocation> entries;
};

struct OutSymbol {
  std::string name;
  std::uint64_t value = 0;
  std::uint64_t size = 0;
  std::uint8_t binding = STB_LOCAL;
  std::uint8_t type = STT_NOTYPE;
  // Where it lies: index into OutObject::sections, or -1 and `special` counts (SHN_UNDEF, ...).
  std::int32_t section = -1;
  std::uint16_t special = SHN_UNDEF;
};

// Symbols must come locals first. The null section and null symbol are added by write().
struct OutObject {
  std::uint16_t machine = EM_NONE;
  std::vector<OutSection> sections;
  std::vector<OutRelocations> relocations;
  std::vector<OutSymbol> symbols;
};

Result<Bytes> write(const OutObject& object);

}  // namespace suture::elf
