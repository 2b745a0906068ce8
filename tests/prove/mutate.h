// SPDX-License-Identifier: GPL-2.0-or-later
//
// Wrong modules, each made of a good one by one change to its bytes that the kernel's loader would
// take without a word. What a change means is decided here, by ELF's own structures and kallsyms,
// apart from src/prove: a change that means nothing (the position of a name that is unique, one
// alias for another, a pointer that nobody reads) is not made.
#pragma once

#include <elf.h>

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace suture::test {

struct Mutant {
  std::string kind;  // "swapped call", "dropped entry", ...
  std::string what;  // where, for people
  Bytes module;
  bool for_core = false;  // counts even if a core would refuse it
};

// The addresses at which OBJECT has NAME, in the order that livepatch counts.
using Positions =
    std::function<std::vector<std::uint64_t>(const std::string& object, const std::string& name)>;

// A module file whose parts can be changed in place.
class ModuleFile {
 public:
  struct Field {
    std::size_t list = 0;   // the section of relocations
    std::size_t entry = 0;  // in it
    Elf64_Rela value{};
  };

  explicit ModuleFile(Bytes bytes);
  const Bytes& bytes() const { return bytes_; }
  std::size_t sections() const { return count_; }
  Elf64_Shdr section(std::size_t index) const;
  std::string name(std::size_t section) const;
  std::size_t find(const std::string& name) const;  // 0: there is none
  ByteView data(std::size_t section) const;
  std::uint8_t& byte(std::size_t section, std::uint64_t offset);
  std::size_t symbols() const;
  Elf64_Sym symbol(std::size_t index) const;
  std::string symbol_name(std::size_t index) const;
  // All fields that relocations write in a section, ordinary and livepatch's.
  std::vector<Field> fields(std::size_t section) const;
  void set(const Field& field);
  // Takes [offset, offset + size) out of a section, its relocations included.
  void cut(std::size_t section, std::uint64_t offset, std::uint64_t size);
  // Removes one relocation.
  void drop(const Field& field);
  // Replaces the first `from` in a section by a text of the same length; false where it is not.
  bool replace(std::size_t section, const std::string& from, const std::string& to);

 private:
  template <class T>
  T read(std::uint64_t offset) const;
  template <class T>
  void write(std::uint64_t offset, const T& value);
  void set_size(std::size_t section, std::uint64_t size);

  Bytes bytes_;
  std::uint64_t headers_ = 0;
  std::size_t count_ = 0, names_ = 0, symtab_ = 0;
};

// `sizes`: entry sizes and offsets as the glue states them.
std::vector<Mutant> mutants_of(const Bytes& good,
                               const std::map<std::string, std::uint64_t, std::less<>>& sizes,
                               const Positions& positions, std::mt19937& random);

// The same of what only a module for Suture's core says, as kmod/include/suture_patch.h lays it
// out.
std::vector<Mutant> core_mutants_of(const Bytes& good, std::mt19937& random);

}  // namespace suture::test
