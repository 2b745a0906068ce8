// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a shipped vmlinux is: its text and data by address, its symbols, exports and identity.
// Sources of the formats: kernel/kallsyms.c, scripts/kallsyms.c (6.1 and 6.12 layouts),
// include/linux/export-internal.h, arch/x86/boot/header.S (see vmlinuz.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "elf/object.h"

namespace suture::kernel {

// A symbol of a running kernel object (vmlinux or one module) as kallsyms knows it.
struct RunSymbol {
  std::string_view name;
  std::uint64_t address = 0;  // link-time address (vmlinux, no KASLR offset); for a module, see
                              // ModuleImage
  char type = '?';            // as nm prints it: t/T text, d/D data, b/B bss, r/R read-only, ...

  // Other files may name it.
  bool is_global() const { return type >= 'A' && type <= 'Z'; }
  bool is_text() const { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }
};

class SymbolTable {
 public:
  SymbolTable() = default;
  // `names` owns the characters that the symbols point into. `symbols` must come in the order that
  // counts for sympos: address order for vmlinux, symbol-table order for a module.
  SymbolTable(std::shared_ptr<const std::string> names, std::vector<RunSymbol> symbols);

  const std::vector<RunSymbol>& all() const { return symbols_; }
  // All symbols of that name in sympos order: sympos 1 is the first. Empty when there is none.
  std::span<const std::uint32_t> find(std::string_view name) const;
  // The symbol, or null where the name is unknown or not unique.
  const RunSymbol* unique(std::string_view name) const;
  // The symbols at exactly that address.
  std::vector<std::uint32_t> at(std::uint64_t address) const;
  // The lowest address of a symbol above `address`, if any: how far the thing at `address` can go.
  std::optional<std::uint64_t> next_address(std::uint64_t address) const;
  // The highest address of a text symbol that is not above `address`, if any: the function that may
  // hold it.
  std::optional<std::uint64_t> text_address(std::uint64_t address) const;
  // What livepatch wants: 0 where the name is unique, else the 1-based position. The index is one
  // of all().
  std::uint32_t sympos(std::uint32_t index) const;

 private:
  std::uint32_t bucket_of(std::string_view name) const;

  std::shared_ptr<const std::string> names_;
  std::vector<RunSymbol> symbols_;
  std::vector<std::uint32_t> by_name_;     // by hash bucket, then name, then sympos order
  std::vector<std::uint32_t> bucket_;      // hash → where its names start in by_name_
  std::vector<std::uint32_t> by_address_;  // sorted by address
};

class Image {
 public:
  // `vmlinux` is the decompressed ELF file (decompress() of vmlinuz.h). Cut-off or lying input is
  // bad-image. Code that loads a constant which is written at boot is changed, see
  // elf/runtime_constants.h.
  static Result<Image> open(const fs::path& vmlinux);

  const elf::ObjectFile& elf() const { return elf_; }
  const SymbolTable& symbols() const { return symbols_; }
  const std::string& build_id() const { return build_id_; }  // lower-case hex
  const std::string& banner() const { return banner_; }      // linux_banner, without the newline
  const std::string& release() const { return release_; }    // "6.1.0-56-amd64"
  const std::string& compiler() const {
    return compiler_;
  }  // "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"

  // The bytes at [address, address + size) of the image, none where they are not in one section
  // with contents.
  std::optional<ByteView> at(std::uint64_t address, std::uint64_t size) const;
  // The section that holds `address`, or null.
  const elf::Section* section_at(std::uint64_t address) const;

 private:
  elf::ObjectFile elf_;
  SymbolTable symbols_;
  std::string build_id_, banner_, release_, compiler_;
};

// Decodes the kallsyms tables found in the image's bytes (kallsyms.cpp).
Result<SymbolTable> read_kallsyms(const elf::ObjectFile& vmlinux);

}  // namespace suture::kernel
