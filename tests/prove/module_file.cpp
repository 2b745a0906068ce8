// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <cstring>

#include "prove/mutate.h"

namespace suture::test {

template <class T>
T ModuleFile::read(std::uint64_t offset) const {
  T out;
  std::memcpy(&out, &bytes_.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), sizeof(T));
  return out;
}

template <class T>
void ModuleFile::write(std::uint64_t offset, const T& value) {
  std::memcpy(&bytes_.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof(T));
}

ModuleFile::ModuleFile(Bytes bytes) : bytes_(std::move(bytes)) {
  const auto header = read<Elf64_Ehdr>(0);
  headers_ = header.e_shoff;
  count_ = header.e_shnum;
  names_ = header.e_shstrndx;
  for (std::size_t i = 1; i < count_; ++i) {
    symtab_ = section(i).sh_type == SHT_SYMTAB ? i : symtab_;
  }
}

Elf64_Shdr ModuleFile::section(std::size_t index) const {
  return read<Elf64_Shdr>(headers_ + index * sizeof(Elf64_Shdr));
}

void ModuleFile::set_size(std::size_t index, std::uint64_t size) {
  Elf64_Shdr header = section(index);
  header.sh_size = size;
  write(headers_ + index * sizeof(Elf64_Shdr), header);
}

ByteView ModuleFile::data(std::size_t index) const {
  const Elf64_Shdr header = section(index);
  return header.sh_type == SHT_NOBITS ? ByteView{}
                                      : ByteView(bytes_).subspan(header.sh_offset, header.sh_size);
}

std::uint8_t& ModuleFile::byte(std::size_t index, std::uint64_t offset) {
  return bytes_.at(section(index).sh_offset + offset);
}

std::string ModuleFile::name(std::size_t index) const {
  return std::string(*read_cstr(data(names_), section(index).sh_name));
}

std::size_t ModuleFile::find(const std::string& wanted) const {
  for (std::size_t i = 1; i < count_; ++i) {
    if (name(i) == wanted) {
      return i;
    }
  }
  return 0;
}

std::size_t ModuleFile::symbols() const { return section(symtab_).sh_size / sizeof(Elf64_Sym); }

Elf64_Sym ModuleFile::symbol(std::size_t index) const {
  return read<Elf64_Sym>(section(symtab_).sh_offset + index * sizeof(Elf64_Sym));
}

std::string ModuleFile::symbol_name(std::size_t index) const {
  return std::string(*read_cstr(data(section(symtab_).sh_link), symbol(index).st_name));
}

std::vector<ModuleFile::Field> ModuleFile::fields(std::size_t wanted) const {
  std::vector<Field> out;
  for (std::size_t i = 1; i < count_; ++i) {
    const Elf64_Shdr header = section(i);
    if (header.sh_type != SHT_RELA || header.sh_info != wanted) {
      continue;
    }
    for (std::size_t k = 0; k < header.sh_size / sizeof(Elf64_Rela); ++k) {
      out.push_back(Field{i, k, read<Elf64_Rela>(header.sh_offset + k * sizeof(Elf64_Rela))});
    }
  }
  return out;
}

void ModuleFile::set(const Field& field) {
  write(section(field.list).sh_offset + field.entry * sizeof(Elf64_Rela), field.value);
}

void ModuleFile::drop(const Field& field) {
  const Elf64_Shdr header = section(field.list);
  const std::size_t last = header.sh_size / sizeof(Elf64_Rela) - 1;
  for (std::size_t k = field.entry; k < last; ++k) {
    write(header.sh_offset + k * sizeof(Elf64_Rela),
          read<Elf64_Rela>(header.sh_offset + (k + 1) * sizeof(Elf64_Rela)));
  }
  set_size(field.list, last * sizeof(Elf64_Rela));
}

void ModuleFile::cut(std::size_t index, std::uint64_t offset, std::uint64_t size) {
  const Elf64_Shdr header = section(index);
  auto at = bytes_.begin() + static_cast<std::ptrdiff_t>(header.sh_offset);
  std::copy(at + static_cast<std::ptrdiff_t>(offset + size),
            at + static_cast<std::ptrdiff_t>(header.sh_size),
            at + static_cast<std::ptrdiff_t>(offset));
  set_size(index, header.sh_size - size);
  std::vector<Field> all = fields(index);
  // From the last to the first, so that the numbers of those to come stay.
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (it->value.r_offset >= offset + size) {
      it->value.r_offset -= size;
      set(*it);
    } else if (it->value.r_offset >= offset) {
      drop(*it);
    }
  }
}

bool ModuleFile::replace(std::size_t index, const std::string& from, const std::string& to) {
  const ByteView where = data(index);
  auto found = std::search(where.begin(), where.end(), from.begin(), from.end());
  if (found == where.end() || from.size() != to.size()) {
    return false;
  }
  std::ranges::copy(to, bytes_.begin() + static_cast<std::ptrdiff_t>(section(index).sh_offset) +
                            (found - where.begin()));
  return true;
}

}  // namespace suture::test
