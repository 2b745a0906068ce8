// SPDX-License-Identifier: GPL-2.0-or-later
//
// A shipped kernel module: a relocatable ELF file, plain or compressed as modules are (.gz, .xz,
// .zst).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "elf/object.h"
#include "kernel/image.h"

namespace suture::kernel {

class ModuleImage {
 public:
  static Result<ModuleImage> open(const fs::path& path);
  // The same of a file that has been read; `where` names it in errors.
  static Result<ModuleImage> of(elf::ObjectFile elf, const std::string& where);

  const elf::ObjectFile& elf() const { return elf_; }
  const std::string& name() const {
    return name_;
  }  // from .gnu.linkonce.this_module / modinfo name=
  const std::string& build_id() const { return build_id_; }  // empty when it has none
  const std::string& vermagic() const { return vermagic_; }
  std::vector<std::string> depends() const;
  // Value of the first `key=` in .modinfo.
  std::string_view modinfo(std::string_view key) const;
  // Its symbols as the running kernel's kallsyms lists them: defined symbols of allocated
  // sections that are not init sections, in symbol-table order; `address` is the offset into the
  // section.
  const std::vector<std::uint32_t>& core_symbols() const {
    return core_symbols_;
  }  // into elf().symbols()
  // 0 where the name is unique among core_symbols(), else the 1-based position.
  std::uint32_t sympos(std::uint32_t symbol) const;
  // While a module is being loaded, livepatch looks it up among all its defined symbols, init ones
  // included. False where `symbol` has another position there: such a function has no one sympos,
  // and a patch that names it would fail, or hit another, when the module comes after the patch.
  bool same_sympos_while_loading(std::uint32_t symbol) const;

 private:
  elf::ObjectFile elf_;
  std::string name_, build_id_, vermagic_;
  std::vector<std::uint32_t> core_symbols_;
};

// Module name ("nf_tables", underscores) → file, of a /lib/modules/REL directory: from
// modules.order where it is there, else by walking. KBUILD_MODNAME has underscores where the file
// may have dashes.
class ModuleDirectory {
 public:
  static Result<ModuleDirectory> open(const fs::path& directory);
  // The file of the module, or nothing.
  std::optional<fs::path> find(std::string_view name) const;
  const std::map<std::string, fs::path, std::less<>>& all() const { return files_; }

 private:
  std::map<std::string, fs::path, std::less<>> files_;
};

}  // namespace suture::kernel
