// SPDX-License-Identifier: GPL-2.0-or-later
//
// A module under construction: sections that grow, symbols found by name, relocations that know
// which loader applies them. Used by the module writer only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "elf/writer.h"
#include "module/bind.h"
#include "module/metadata.h"

namespace suture::module {

struct Place {
  std::int32_t section = -1;  // into the assembly's sections; -1: nowhere
  std::uint64_t offset = 0;
};

class Assembly {
 public:
  Assembly(std::uint16_t machine, Core core) : core_(core) { object_.machine = machine; }

  // The section of that name, made when missing. Flags and alignment of several users are joined.
  std::int32_t section(const std::string& name, std::uint32_t type, std::uint64_t flags,
                       std::uint64_t alignment);
  // Appends at the next multiple of `alignment`; `size` counts where there are no bytes (.bss).
  Place append(std::int32_t section, ByteView bytes, std::uint64_t size, std::uint64_t alignment);
  Bytes& data(std::int32_t section) { return at(section).data; }
  std::uint64_t size(std::int32_t section) const;
  // Of the section of that name, 0 where there is none.
  std::uint64_t size(const std::string& section) const;
  const std::string& name(std::int32_t section) const {
    return object_.sections.at(static_cast<std::size_t>(section)).name;
  }

  // A symbol of the module's own, for kallsyms and backtraces.
  void add_symbol(const std::string& name, Place place, std::uint64_t size, std::uint8_t type);

  // A field at `field` that is to point at a place of the module.
  void relocate(Place field, std::uint32_t type, Place target, std::int64_t addend);
  // A field at `field` that is to point at something of the kernel, in code or data that belongs to
  // `patched`. The core binds symbols of vmlinux while this module is loaded, all others when it
  // patches that object.
  void relocate(Place field, std::uint32_t type, const Binding& target, std::int64_t addend,
                const std::string& patched);

  const std::map<std::string, Binding>& imports() const { return imports_; }
  // What the core binds, as "OBJECT:NAME,SYMPOS".
  std::vector<std::string> core_symbols() const;

  // A field that Suture's core writes, as the patch's data tells it.
  struct CoreField {
    Place field;
    std::uint32_t type = 0;
    Binding target;
    std::int64_t addend = 0;
    std::string object;  // with which it is bound
  };
  const std::vector<CoreField>& core_fields() const { return core_fields_; }

  // The bytes. The assembly is used up.
  Result<Bytes> finish();
  // Everything that has been put in, as one digest: what a build id is made of.
  std::string digest() const;

 private:
  struct Field {
    Place field;
    std::uint32_t type = 0;
    std::int64_t addend = 0;
    std::int32_t section = -1;  // target section, or
    std::string external;       // the symbol's name
    std::string klp_object;     // "" for the module loader
  };

  elf::OutSection& at(std::int32_t section) {
    return object_.sections.at(static_cast<std::size_t>(section));
  }

  Core core_;
  elf::OutObject object_;
  std::map<std::string, std::int32_t> by_name_;
  std::vector<elf::OutSymbol> own_;
  std::vector<Field> fields_;
  std::map<std::string, Binding> imports_;  // exported, by name
  std::map<std::string, Binding> klp_;      // by ".klp.sym..." name, for livepatch
  std::vector<CoreField> core_fields_;      // for Suture's core
};

}  // namespace suture::module
