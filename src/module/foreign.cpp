// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: struct klp_func has a size that depends on the kernel, and nothing in a foreign module
// says where its arrays are.
//
// Method: look for what cannot be anything else: an 8-byte pointer to a string, followed at once by
// an 8-byte pointer to code, is {old_name, new_func}; the word after is old_sympos. The pointer to
// the first of them is klp_object.funcs, and the pointer before that one, if any, the object's
// name. What points at a place is listed once, so that a module made of such pairs takes no longer
// than it is long.
#include "module/foreign.h"

#include <map>

namespace suture::module {

namespace {

class Reader {
 public:
  explicit Reader(const elf::ObjectFile& object) : object_(object) {
    for (const elf::Section& section : object_.sections()) {
      pointers_.push_back(pointers_of(section));
    }
    for (const Pointers& pointers : pointers_) {
      for (const auto& [offset, relocation] : pointers) {
        const elf::Symbol& symbol = object_.symbols()[relocation->symbol];
        const std::uint64_t place = symbol.value + static_cast<std::uint64_t>(relocation->addend);
        pointed_at_.try_emplace({symbol.section, place}, Pointer{&pointers, offset});
      }
    }
  }

  std::vector<ForeignFunction> run() {
    for (std::uint32_t i = 1; i < object_.sections().size(); ++i) {
      const elf::Section& section = object_.sections()[i];
      if (section.name == ".kpatch.funcs") {
        read_kpatch(i);
      } else if ((section.flags & SHF_ALLOC) != 0 && (section.flags & SHF_EXECINSTR) == 0) {
        read_klp(i);
      }
    }
    return std::move(out_);
  }

 private:
  using Pointers = std::map<std::uint64_t, const elf::Relocation*>;
  struct Pointer {
    const Pointers* among;
    std::uint64_t offset;
  };

  static Pointers pointers_of(const elf::Section& section) {
    Pointers out;
    for (const elf::Relocation& relocation : section.relocations) {
      if (relocation.type == R_X86_64_64) {
        out.emplace(relocation.offset, &relocation);
      }
    }
    return out;
  }

  std::optional<std::string_view> string_at(const Pointers& pointers, std::uint64_t offset) const {
    auto it = pointers.find(offset);
    if (it == pointers.end()) {
      return std::nullopt;
    }
    const elf::Symbol& symbol = object_.symbols()[it->second->symbol];
    if (!symbol.defined()) {
      return std::nullopt;
    }
    const elf::Section& home = object_.sections()[symbol.section];
    if ((home.flags & (SHF_STRINGS | SHF_EXECINSTR)) != SHF_STRINGS &&
        home.name != ".kpatch.strings") {
      return std::nullopt;
    }
    return read_cstr(home.data, symbol.value + static_cast<std::uint64_t>(it->second->addend));
  }

  bool points_at_code(const Pointers& pointers, std::uint64_t offset) const {
    auto it = pointers.find(offset);
    if (it == pointers.end()) {
      return false;
    }
    const elf::Symbol& symbol = object_.symbols()[it->second->symbol];
    return symbol.defined() && (object_.sections()[symbol.section].flags & SHF_EXECINSTR) != 0;
  }

  // The name of the klp_object whose funcs pointer is `array` in section `home`.
  std::string object_of(std::uint32_t home, std::uint64_t array) const {
    auto found = pointed_at_.find({home, array});
    if (found == pointed_at_.end()) {
      return {};
    }
    const auto& [among, offset] = found->second;
    auto name = offset >= 8 ? string_at(*among, offset - 8) : std::nullopt;
    return std::string(name.value_or("vmlinux"));
  }

  void read_klp(std::uint32_t index) {
    const elf::Section& section = object_.sections()[index];
    const Pointers& pointers = pointers_[index];
    std::string current;
    for (const auto& [offset, relocation] : pointers) {
      auto name = string_at(pointers, offset);
      if (!name || !points_at_code(pointers, offset + 8)) {
        continue;
      }
      std::string owner = object_of(index, offset);
      if (!owner.empty()) {
        current = owner;
      }
      if (!current.empty()) {
        auto sympos = read_le<std::uint64_t>(section.data, offset + 16).value_or(0);
        out_.push_back({current, std::string(*name), static_cast<std::uint32_t>(sympos)});
      }
    }
  }

  void read_kpatch(std::uint32_t index) {
    constexpr std::uint64_t entry = 56;
    const elf::Section& section = object_.sections()[index];
    const Pointers& pointers = pointers_[index];
    for (std::uint64_t offset = 0; offset + entry <= section.data.size(); offset += entry) {
      auto name = string_at(pointers, offset + 40);
      auto owner = string_at(pointers, offset + 48);
      auto sympos = read_le<std::uint64_t>(section.data, offset + 32).value_or(0);
      if (name && owner) {
        out_.push_back(
            {std::string(*owner), std::string(*name), static_cast<std::uint32_t>(sympos)});
      }
    }
  }

  const elf::ObjectFile& object_;
  std::vector<Pointers> pointers_;  // of each section
  // The first pointer to each place, by section and offset.
  std::map<std::pair<std::uint32_t, std::uint64_t>, Pointer> pointed_at_;
  std::vector<ForeignFunction> out_;
};

}  // namespace

std::vector<ForeignFunction> foreign_functions(const elf::ObjectFile& object) {
  return Reader(object).run();
}

}  // namespace suture::module
