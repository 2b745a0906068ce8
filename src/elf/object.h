// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading ELF64 little-endian files: relocatable objects, kernel modules and the vmlinux image.
// Formats: System V ABI gABI chapter 4 (sections, symbols, relocations); the x86-64 psABI 4.4 for
// relocation types. The bytes are decoded by libelf; everything here has been bounds-checked, so
// users may index sections and symbols by the numbers they find without checking again.
#pragma once

#include <elf.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

namespace suture::elf {

// What the kernel's livepatch core adds to ELF (include/uapi/linux/elf.h,
// Documentation/livepatch/module-elf-format.rst).
inline constexpr std::uint64_t shf_rela_livepatch = 0x00100000;
inline constexpr std::uint16_t shn_livepatch = 0xff20;

struct Relocation {
  std::uint64_t offset = 0;  // bytes into the section that it patches
  std::uint32_t type = 0;    // R_X86_64_*
  std::uint32_t symbol = 0;  // index into ObjectFile::symbols
  std::int64_t addend = 0;
};

struct Section {
  std::string name;
  std::uint32_t type = SHT_NULL;
  std::uint64_t flags = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;  // also of SHT_NOBITS, which has no data
  std::uint64_t alignment = 1;
  std::uint64_t entry_size = 0;
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  ByteView data;                        // size bytes, or none for SHT_NOBITS
  std::vector<Relocation> relocations;  // of every SHT_RELA section aimed at this one, by offset
};

struct Symbol {
  std::string_view name;
  std::uint64_t value = 0;
  std::uint64_t size = 0;
  std::uint8_t binding = STB_LOCAL;
  std::uint8_t type = STT_NOTYPE;
  std::uint8_t visibility = STV_DEFAULT;
  std::uint32_t section = SHN_UNDEF;  // an index below sections.size(), or a reserved SHN_* number

  bool defined() const { return section != SHN_UNDEF && section < SHN_LORESERVE; }
};

class ObjectFile {
 public:
  // `where` names the file in errors. A file that is cut off or whose headers lie is bad-elf.
  static Result<ObjectFile> open(const fs::path& path);
  static Result<ObjectFile> parse(Bytes bytes, const std::string& where);

  std::uint16_t file_type() const { return file_type_; }  // ET_REL, ET_EXEC, ...
  std::uint16_t machine() const { return machine_; }      // EM_X86_64, ...
  const std::vector<Section>& sections() const { return sections_; }
  // Symbol 0 is always there: it stands for none.
  const std::vector<Symbol>& symbols() const { return symbols_; }

  // The first section of that name, if any.
  std::optional<std::uint32_t> find_section(std::string_view name) const;
  const Section* section(std::string_view name) const;

  // Gives a section other contents of the same size.
  void set_data(std::uint32_t section, Bytes data);
  // The section is no part of what runs any more.
  void drop(std::uint32_t section);
  void add_relocation(std::uint32_t section, Relocation relocation);
  // The symbol of that name; an undefined one is made where there is none.
  std::uint32_t symbol_named(std::string_view name);

 private:
  Status read(ByteView bytes, const std::string& where);

  std::shared_ptr<MappedFile> mapping_;
  std::shared_ptr<Bytes> owned_;
  std::vector<std::shared_ptr<const Bytes>> changed_;      // contents given by set_data()
  std::vector<std::shared_ptr<const std::string>> names_;  // of symbols that were made
  std::uint16_t file_type_ = ET_NONE;
  std::uint16_t machine_ = EM_NONE;
  std::vector<Section> sections_;
  std::vector<Symbol> symbols_;
};

// The build id in an ELF note section's bytes (NT_GNU_BUILD_ID, owner "GNU"), as lower-case hex.
std::optional<std::string> build_id(ByteView notes);

// The first compiler that a .comment section names: "(Debian 12.2.0-14+deb12u1) 12.2.0".
std::string_view compiler(const Section& comment);

}  // namespace suture::elf
