// SPDX-License-Identifier: GPL-2.0-or-later
//
// A compiled object as the proof reads it: what lies where in it, and what each relocated field
// means. Written apart from the differ's pieces on purpose: a mistake there must show here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "elf/arch.h"
#include "elf/object.h"

namespace suture::prove {

enum class PartKind : std::uint8_t {
  code,         // a function or a part of one
  inline_code,  // code without a symbol: replacements of alternatives and what jumps lead to
  data,         // a variable, or data without a symbol
};

// What begins at one place of a section and reaches to where the next thing begins.
struct Part {
  PartKind kind = PartKind::data;
  std::uint32_t section = 0;
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  std::uint64_t room = 0;              // bytes before `start` that belong to it (`__pfx_`)
  std::vector<std::uint32_t> symbols;  // at `start`; the one that names it comes first
};

// What a field points at.
struct Target {
  std::int32_t part = -1;    // a part of this object, or
  std::uint32_t merged = 0;  // a section of strings or constants without identity, or
  std::uint32_t symbol = 0;  // an undefined symbol
  std::int64_t offset = 0;   // from the start of the part, the section, or the symbol
};

struct Field {
  std::uint64_t offset = 0;  // from the start of the part or the table's entry
  elf::RelocationKind kind;
  std::int32_t bias = 0;  // what the processor adds to a PC-relative field: its distance to the
                          // end of the instruction
  bool branch = false;    // of a direct call or jump
  bool address = false;   // of code: more is done with the address than to read or write there
  bool resolved = false;  // the assembler wrote the distance: no relocation
  Target target;
};

class Object {
 public:
  // `elf` must outlive this.
  static Result<Object> open(const elf::ObjectFile& elf, const elf::Arch& arch);

  const elf::ObjectFile& elf() const { return *elf_; }
  const elf::Arch& arch() const { return *arch_; }
  const std::vector<Part>& parts() const { return parts_; }
  const Part& part(std::int32_t index) const { return parts_.at(static_cast<std::size_t>(index)); }
  const elf::Section& section_of(const Part& part) const { return elf_->sections()[part.section]; }
  // Empty for what has no name of its own.
  std::string_view name(const Part& part) const {
    return part.symbols.empty() ? std::string_view{} : elf_->symbols()[part.symbols[0]].name;
  }
  bool global(const Part& part) const;
  // None for data that starts as zeros.
  ByteView bytes(const Part& part) const;
  // The part that holds `offset` of a section, or -1.
  std::int32_t part_at(std::uint32_t section, std::uint64_t offset) const;
  // Whether other parts lie in the same section.
  bool shares_section(const Part& part) const { return by_section_[part.section].size() > 1; }

  // Every field of a part, by offset: relocations, and in code the branches that the assembler
  // resolved across parts, be it by a distance of one byte (no such one may be part of a module, as
  // no relocation writes one). proof-failed where a relocation is not understood.
  Result<std::vector<Field>> fields(const Part& part) const;
  // The relocations in [from, to) of a section of data or of a table, offsets counted from `from`.
  Result<std::vector<Field>> fields(std::uint32_t section, std::uint64_t from,
                                    std::uint64_t to) const;

  // What is read from a place without identity on: a string, or the constant that the place lies
  // in and how far in; nothing where it lies outside.
  struct Content {
    ByteView bytes;
    std::uint64_t inside = 0;
  };
  std::optional<Content> content(std::uint32_t merged, std::int64_t offset) const;

 private:
  void cut(std::uint32_t section, std::vector<std::uint32_t> symbols);
  void cut_inline_code(std::uint32_t section);
  void add(Part part);
  Result<Field> field(const elf::Relocation& relocation, std::uint64_t from,
                      std::int32_t bias) const;
  Target resolve(std::uint32_t symbol, std::int64_t points_at) const;

  const elf::ObjectFile* elf_ = nullptr;
  const elf::Arch* arch_ = nullptr;
  std::vector<Part> parts_;
  std::vector<std::vector<std::int32_t>> by_section_;  // by start
  std::vector<bool> merged_;                           // per section
};

// A table about code or a note to the build: no part of the program.
bool is_table(const elf::Arch& arch, std::string_view section);
// Freed after boot or load, or only read then; and exit code, which only modules ever run.
bool is_boot_only(std::string_view section);
bool is_exit(std::string_view section);
// The name without the number that the compiler gave to a static local: "warned.11" → "warned".
std::string_view unnumbered(std::string_view name);
inline bool is_numbered(std::string_view name) { return unnumbered(name) != name; }
// "f.isra.0" of "f.isra.0.cold" and "f.isra.0.cold.7"; empty for what is no split-off part.
std::string_view split_from(std::string_view name);
// Constant data that any copy serves for, or a descriptor that goes with the code that names it.
bool is_copy_as_good(const Object& object, const Part& part);
bool is_writable(const Object& object, const Part& part);

}  // namespace suture::prove
