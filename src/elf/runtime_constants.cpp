// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the kernel writes the value of some variables into its own code when it boots, at places
// that the sections runtime_ptr_VARIABLE list. It does not do so for modules: a copy of such code
// in a patch would go on with the number that the compiler left there, take 0x0123456789abcdef for
// a pointer, and let every user address pass.
//
// Method: both in compiled objects and in the kernel's image, the instruction is replaced by one of
// the same length that reads the variable. Everything behind this (matching, comparing, writing,
// proving) sees a plain reference to a variable. The variable has the value for good once it is
// written into code.
//
// Invariants: a list is dropped only if each of its entries was replaced; an object and an image
// are replaced by the same rule.
#include "elf/runtime_constants.h"

#include <algorithm>
#include <map>

#include "elf/arch.h"

namespace suture::elf {

namespace {

constexpr std::string_view list_prefix = "runtime_ptr_";
constexpr std::uint64_t constant_size = 4;
constexpr std::uint64_t unwritten = 0x0123456789abcdef;

// Sections that are to get other contents.
class Rewriter {
 public:
  Rewriter(ObjectFile& object, const Arch& arch) : object_(object), arch_(arch) {}

  // The instruction whose value is at `offset` of the section, and where it begins.
  struct Place {
    std::uint32_t section;
    std::uint64_t start;
    VariableRead read;
  };
  std::optional<Place> find(std::uint32_t section, std::uint64_t offset) const {
    const ByteView code = object_.sections()[section].data;
    const auto value = read_le<std::uint64_t>(code, offset);
    if (!value || *value != unwritten) {
      return std::nullopt;
    }
    auto read = arch_.read_of_variable(code, offset);
    if (!read) {
      return std::nullopt;
    }
    const std::uint64_t start = offset - read->value;
    return Place{section, start, *std::move(read)};
  }

  Bytes& contents(std::uint32_t section) {
    auto [it, fresh] = changed_.try_emplace(section);
    if (fresh) {
      const ByteView old = object_.sections()[section].data;
      it->second.assign(old.begin(), old.end());
    }
    return it->second;
  }

  void replace(const Place& place) {
    std::ranges::copy(place.read.code,
                      contents(place.section).begin() + static_cast<std::ptrdiff_t>(place.start));
  }

  void finish() {
    for (auto& [section, data] : changed_) {
      object_.set_data(section, std::move(data));
    }
  }

 private:
  ObjectFile& object_;
  const Arch& arch_;
  std::map<std::uint32_t, Bytes> changed_;
};

}  // namespace

void read_variables_for_constants(ObjectFile& object) {
  const Arch* arch = arch_of(object.machine());
  if (arch == nullptr) {
    return;
  }
  Rewriter rewriter(object, *arch);
  for (std::uint32_t i = 1; i < object.sections().size(); ++i) {
    const Section& list = object.sections()[i];
    if (!list.name.starts_with(list_prefix) || list.relocations.empty()) {
      continue;
    }
    std::vector<Rewriter::Place> places;
    for (const Relocation& entry : list.relocations) {
      const Symbol& symbol = object.symbols()[entry.symbol];
      const auto place =
          symbol.defined() ? rewriter.find(symbol.section,
                                           symbol.value + static_cast<std::uint64_t>(entry.addend))
                           : std::nullopt;
      if (place) {
        places.push_back(*place);
      }
    }
    if (places.size() * constant_size != list.size) {
      continue;
    }
    const std::uint32_t variable =
        object.symbol_named(std::string_view(list.name).substr(list_prefix.size()));
    for (const Rewriter::Place& place : places) {
      rewriter.replace(place);
      object.add_relocation(place.section, Relocation{.offset = place.start + place.read.field,
                                                      .type = arch->pc_relative32(),
                                                      .symbol = variable,
                                                      .addend = -std::int64_t{place.read.bias}});
    }
    object.drop(i);
  }
  rewriter.finish();
}

void read_variables_for_constants(
    ObjectFile& vmlinux,
    const std::function<std::optional<std::uint64_t>(std::string_view)>& address_of) {
  const Arch* arch = arch_of(vmlinux.machine());
  if (arch == nullptr) {
    return;
  }
  Rewriter rewriter(vmlinux, *arch);
  for (const Section& list : vmlinux.sections()) {
    if (!list.name.starts_with(list_prefix)) {
      continue;
    }
    const auto variable = address_of(std::string_view(list.name).substr(list_prefix.size()));
    for (std::uint64_t at = 0; variable && at + constant_size <= list.data.size();
         at += constant_size) {
      const std::uint64_t value =
          list.address + at +
          static_cast<std::uint64_t>(std::int64_t{*read_le<std::int32_t>(list.data, at)});
      const auto holder = std::ranges::find_if(vmlinux.sections(), [&](const Section& section) {
        return (section.flags & SHF_EXECINSTR) != 0 && value >= section.address &&
               value - section.address < section.data.size();
      });
      if (holder == vmlinux.sections().end()) {
        continue;
      }
      const auto index = static_cast<std::uint32_t>(holder - vmlinux.sections().begin());
      const auto place = rewriter.find(index, value - holder->address);
      if (!place) {
        continue;
      }
      rewriter.replace(*place);
      const std::uint64_t field = place->start + place->read.field;
      write_le(
          rewriter.contents(index), field,
          static_cast<std::uint32_t>(*variable - (holder->address + field + place->read.bias)));
    }
  }
  rewriter.finish();
}

}  // namespace suture::elf
