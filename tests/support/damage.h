// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: most bytes of an object file are code, strings and padding, and nearly every offset that
// a fuzzer makes up lies past the end; so it damages the few fields that decide anything only once
// in a long while.
//
// Method: list the numbers that the good file holds, by what they are in, and let the mutator add a
// change of one of them to the patches (patches.h) that its input is.
#pragma once

#include <elf.h>

#include <random>
#include <vector>

#include "base/bytes.h"
#include "elf/object.h"

// libFuzzer's.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace suture::test {

// A number in a file.
struct Field {
  std::uint32_t offset = 0;
  std::uint32_t width = 0;
};

// Fields of one kind; each kind is damaged as often as any other.
using FieldKinds = std::vector<std::vector<Field>>;

// Cuts [start, end) into fields of the given widths, again and again.
inline std::vector<Field> fields_in(std::uint64_t start, std::uint64_t end,
                                    const std::vector<std::uint32_t>& widths) {
  std::vector<Field> out;
  std::size_t next = 0;
  for (std::uint64_t at = start; at + widths[next] <= end; next = (next + 1) % widths.size()) {
    out.push_back({static_cast<std::uint32_t>(at), widths[next]});
    at += widths[next];
  }
  return out;
}

// The file's header, the section headers, and of the sections the symbols, the relocations, the
// strings, the code and the other bytes.
inline FieldKinds elf_fields(const Bytes& file) {
  const std::uint64_t headers = *read_le<std::uint64_t>(file, offsetof(Elf64_Ehdr, e_shoff));
  FieldKinds kinds{
      fields_in(EI_NIDENT, sizeof(Elf64_Ehdr), {2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2}),
      fields_in(headers, file.size(), {4, 4, 8, 8, 8, 8, 4, 4, 8, 8})};
  std::vector<Field> symbols, relocations, strings, code, rest;
  auto add = [](std::vector<Field>& to, std::vector<Field> more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  for (std::uint64_t at = headers; at + sizeof(Elf64_Shdr) <= file.size();
       at += sizeof(Elf64_Shdr)) {
    Elf64_Shdr section;
    std::memcpy(&section, file.data() + at, sizeof(section));
    const std::uint64_t end = section.sh_offset + section.sh_size;
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS || end > file.size()) {
      continue;
    }
    if (section.sh_type == SHT_SYMTAB) {
      add(symbols, fields_in(section.sh_offset, end, {4, 1, 1, 2, 8, 8}));
    } else if (section.sh_type == SHT_RELA) {
      add(relocations, fields_in(section.sh_offset, end, {8, 4, 4, 8}));
    } else if (section.sh_type == SHT_STRTAB || (section.sh_flags & SHF_STRINGS) != 0) {
      add(strings, fields_in(section.sh_offset, end, {1}));
    } else if ((section.sh_flags & SHF_EXECINSTR) != 0) {
      add(code, fields_in(section.sh_offset, end, {1}));
    } else {
      add(rest, fields_in(section.sh_offset, end, {4}));
    }
  }
  for (std::vector<Field>* kind : {&symbols, &relocations, &strings, &code, &rest}) {
    if (!kind->empty()) {
      kinds.push_back(std::move(*kind));
    }
  }
  return kinds;
}

// Another value for a field: small, at a limit, one bit off, a bit more or less, another's.
inline std::uint64_t damaged_value(const Bytes& file, const std::vector<Field>& kind, Field field,
                                   std::minstd_rand& random) {
  auto value_of = [&](Field of) {
    std::uint64_t value = 0;
    std::memcpy(&value, file.data() + of.offset, of.width);
    return value;
  };
  switch (random() % 6) {
    case 0: return random() % 64;
    case 1: return std::uint64_t{1} << random() % (8 * field.width);
    case 2: return value_of(field) ^ std::uint64_t{1} << random() % (8 * field.width);
    case 3: return value_of(field) + random() % 17 - 8;
    case 4: return ~std::uint64_t{0} - random() % 16;
    default: return value_of(kind[random() % kind.size()]);
  }
}

// Adds to the patches in data[skip, size) one that damages a field of `file`; the new size. To be
// called from LLVMFuzzerCustomMutator.
inline std::size_t add_damage(const Bytes& file, const FieldKinds& kinds, std::uint8_t* data,
                              std::size_t skip, std::size_t size, std::size_t most,
                              std::minstd_rand& random) {
  const std::vector<Field>& kind = kinds[random() % kinds.size()];
  const Field field = kind[random() % kind.size()];
  const std::uint64_t value = damaged_value(file, kind, field, random);
  size -= size < skip ? 0 : (size - skip) % 4;
  for (std::uint32_t i = 0; i < field.width && size >= skip && size + 4 <= most; ++i) {
    const auto byte = static_cast<std::uint8_t>(value >> (8 * i));
    const std::uint32_t at = field.offset + i;
    if (byte != file[at]) {
      const std::uint32_t word = at | std::uint32_t{byte} << 24;
      std::memcpy(data + size, &word, sizeof(word));
      size += sizeof(word);
    }
  }
  return size;
}

// A file that is damaged by its fields.
struct Damageable {
  explicit Damageable(Bytes elf) : file(std::move(elf)), fields(elf_fields(file)) {}
  Bytes file;
  FieldKinds fields;
};

// LLVMFuzzerCustomMutator where data[0] picks the file, by `pick`, and the rest are its patches:
// mostly one patch more, at times what libFuzzer does by itself.
inline std::size_t add_damage_to_picked(const Damageable& (*pick)(std::uint8_t), std::uint8_t* data,
                                        std::size_t size, std::size_t most, unsigned seed) {
  std::minstd_rand random(seed);
  if (size == 0 || random() % 4 == 0) {
    return LLVMFuzzerMutate(data, size, most);
  }
  const Damageable& picked = pick(data[0]);
  return add_damage(picked.file, picked.fields, data, 1, size, most, random);
}

}  // namespace suture::test
