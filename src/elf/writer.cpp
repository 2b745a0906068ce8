// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>

namespace suture::elf {

namespace {

// A string table under construction; equal strings share a place.
class Strings {
 public:
  Strings() : text_(1, '\0') {}
  std::uint32_t add(const std::string& text) {
    auto [it, added] = places_.try_emplace(text, static_cast<std::uint32_t>(text_.size()));
    if (added) {
      text_ += text;
      text_ += '\0';
    }
    return text.empty() ? 0 : it->second;
  }
  std::string& text() { return text_; }

 private:
  std::string text_;
  std::map<std::string, std::uint32_t> places_;
};

class Writer {
 public:
  explicit Writer(const OutObject& object) : object_(object) {}

  Result<Bytes> run() {
    elf_version(EV_CURRENT);
    // libelf writes to a descriptor; an anonymous file keeps the result off every disk.
    int fd = ::memfd_create("suture-elf", MFD_CLOEXEC);
    if (fd < 0) {
      return fail_errno(errno, "memfd", "create");
    }
    std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_begin(fd, ELF_C_WRITE, nullptr), elf_end);
    bool done = elf && fill(elf.get()) && elf_update(elf.get(), ELF_C_WRITE) >= 0;
    elf.reset();
    Result<Bytes> out = done ? read_back(fd)
                             : fail(Code::bad_elf, "module",
                                    fmt::format("libelf: {}", elf_errmsg(-1)), "report this");
    ::close(fd);
    return out;
  }

 private:
  static Result<Bytes> read_back(int fd) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) {
      return fail_errno(errno, "memfd", "stat");
    }
    Bytes bytes(static_cast<std::size_t>(st.st_size));
    if (::pread(fd, bytes.data(), bytes.size(), 0) != st.st_size) {
      return fail_errno(errno, "memfd", "read");
    }
    return bytes;
  }

  Elf_Scn* add_section(Elf* elf, const std::string& name, std::uint32_t type, std::uint64_t flags,
                       std::uint64_t alignment, std::uint64_t entry_size, void* data,
                       std::uint64_t size, Elf_Type data_type) {
    Elf_Scn* scn = elf_newscn(elf);
    GElf_Shdr header{};
    header.sh_name = section_names_.add(name);
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_addralign = alignment;
    header.sh_entsize = entry_size;
    gelf_update_shdr(scn, &header);
    Elf_Data* part = elf_newdata(scn);
    part->d_buf = data;
    part->d_size = size;
    part->d_align = alignment;
    part->d_type = data_type;
    part->d_version = EV_CURRENT;
    return scn;
  }

  static void set_links(Elf_Scn* scn, std::uint32_t link, std::uint32_t info) {
    GElf_Shdr header{};
    gelf_getshdr(scn, &header);
    header.sh_link = link;
    header.sh_info = info;
    gelf_update_shdr(scn, &header);
  }

  void fill_symbols() {
    symbols_.emplace_back();
    for (const OutSymbol& symbol : object_.symbols) {
      Elf64_Sym out{};
      out.st_name = symbol_names_.add(symbol.name);
      out.st_value = symbol.value;
      out.st_size = symbol.size;
      out.st_info = static_cast<unsigned char>(GELF_ST_INFO(symbol.binding, symbol.type));
      out.st_shndx =
          symbol.section >= 0 ? static_cast<std::uint16_t>(symbol.section + 1) : symbol.special;
      locals_ += symbol.binding == STB_LOCAL ? 1 : 0;
      symbols_.push_back(out);
    }
  }

  void fill_relocations() {
    for (const OutRelocations& list : object_.relocations) {
      auto& out = relocations_.emplace_back();
      for (const OutRelocation& entry : list.entries) {
        out.push_back(
            Elf64_Rela{.r_offset = entry.offset,
                       .r_info = ELF64_R_INFO(std::uint64_t{entry.symbol} + 1, entry.type),
                       .r_addend = entry.addend});
      }
    }
  }

  bool fill(Elf* elf) {
    gelf_newehdr(elf, ELFCLASS64);
    GElf_Ehdr header{};
    gelf_getehdr(elf, &header);
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_REL;
    header.e_machine = object_.machine;
    header.e_version = EV_CURRENT;
    gelf_update_ehdr(elf, &header);
    fill_symbols();
    fill_relocations();
    for (const OutSection& section : object_.sections) {
      bool empty = section.type == SHT_NOBITS;
      add_section(elf, section.name, section.type, section.flags, section.alignment,
                  section.entry_size,
                  empty ? nullptr : const_cast<std::uint8_t*>(section.data.data()),
                  empty ? section.size : section.data.size(), ELF_T_BYTE);
    }
    std::vector<Elf_Scn*> rela;
    for (std::size_t i = 0; i < object_.relocations.size(); ++i) {
      rela.push_back(add_section(elf, object_.relocations[i].name, SHT_RELA,
                                 object_.relocations[i].flags, 8, sizeof(Elf64_Rela),
                                 relocations_[i].data(),
                                 relocations_[i].size() * sizeof(Elf64_Rela), ELF_T_RELA));
    }
    Elf_Scn* table = add_section(elf, ".symtab", SHT_SYMTAB, 0, 8, sizeof(Elf64_Sym),
                                 symbols_.data(), symbols_.size() * sizeof(Elf64_Sym), ELF_T_SYM);
    Elf_Scn* names = add_section(elf, ".strtab", SHT_STRTAB, 0, 1, 0, symbol_names_.text().data(),
                                 symbol_names_.text().size(), ELF_T_BYTE);
    section_names_.add(".shstrtab");
    Elf_Scn* section_names =
        add_section(elf, ".shstrtab", SHT_STRTAB, 0, 1, 0, section_names_.text().data(),
                    section_names_.text().size(), ELF_T_BYTE);
    auto index = [](Elf_Scn* scn) { return static_cast<std::uint32_t>(elf_ndxscn(scn)); };
    set_links(table, index(names), locals_ + 1);
    for (std::size_t i = 0; i < rela.size(); ++i) {
      set_links(rela[i], index(table), object_.relocations[i].target + 1);
    }
    gelf_getehdr(elf, &header);
    header.e_shstrndx = static_cast<std::uint16_t>(index(section_names));
    gelf_update_ehdr(elf, &header);
    return true;
  }

  const OutObject& object_;
  Strings section_names_;
  Strings symbol_names_;
  std::vector<Elf64_Sym> symbols_;
  std::vector<std::vector<Elf64_Rela>> relocations_;
  std::uint32_t locals_ = 0;
};

}  // namespace

Result<Bytes> write(const OutObject& object) {
  // Section numbers from SHN_LORESERVE on would need an extended index table.
  if (object.sections.size() + object.relocations.size() + 4 >= SHN_LORESERVE) {
    return fail(Code::too_many_symbols, "module", "the patch has more sections than ELF can number",
                "split the patch");
  }
  return Writer(object).run();
}

}  // namespace suture::elf
