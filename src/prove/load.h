// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch module in memory, as the module loader and its core leave it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "elf/arch.h"
#include "prove/running.h"

namespace suture::prove {

class LoadedPatch {
 public:
  // A field that the loader or the core writes.
  struct Written {
    elf::RelocationKind kind;
    std::string late;      // the module with which it is written, empty when it is done at once
    bool by_core = false;  // Suture's: after the loader has done all its work
  };
  struct Area {
    std::uint32_t section = 0;
    std::uint64_t address = 0;
    Bytes bytes;
  };

  // Loads it beside what runs. proof-failed where the kernel would not.
  static Result<LoadedPatch> load(Bytes module, const elf::Arch& arch, Running& running);

  const elf::ObjectFile& elf() const { return elf_; }
  // Where the symbol table says that the patch lies, of one for Suture's core.
  std::uint64_t core_patch() const { return core_patch_; }
  const std::vector<Area>& areas() const { return areas_; }
  const std::string& section_name(const Area& area) const {
    return elf_.sections()[area.section].name;
  }
  const Area* area_at(std::uint64_t address) const;
  const Area* area(std::string_view section) const;
  bool contains(std::uint64_t address) const { return area_at(address) != nullptr; }
  std::optional<ByteView> at(std::uint64_t address, std::uint64_t size) const;
  std::optional<std::string_view> text_at(std::uint64_t address) const;
  const std::map<std::uint64_t, Written>& written() const { return written_; }
  // Values of `key=` in .modinfo.
  std::vector<std::string_view> modinfo(std::string_view key) const;
  // All that .modinfo says under keys that start so, each with its NUL, in order.
  std::string modinfo_under(std::string_view prefix) const;
  // "section+offset", for people.
  std::string describe(std::uint64_t address) const;

 private:
  std::vector<std::string_view> modinfo_items() const;
  Status place();
  Status resolve_symbols(Running& running);
  Status check_versions(std::string_view name, std::uint32_t crc) const;
  Status relocate(std::uint32_t relocations, const elf::Arch& arch, Running& running);
  Status relocate_one(const elf::Section& from, Area& area, std::uint64_t entry,
                      const elf::Arch& arch, const std::string& object, Running& running);
  Status write_field(Area& area, std::uint64_t offset, std::uint64_t value, Written written);
  Status find_core_patch();
  Status bind_by_core(const elf::Arch& arch, Running& running);
  Result<std::uint64_t> livepatch_value(const elf::Section& from, const elf::Symbol& symbol,
                                        const std::string& object, Running& running) const;

  elf::ObjectFile elf_;
  std::vector<Area> areas_;               // by address
  std::vector<std::uint64_t> addresses_;  // by symbol; of livepatch's own it is 0
  std::map<std::uint64_t, Written> written_;
  std::uint64_t core_patch_ = 0;
};

}  // namespace suture::prove
