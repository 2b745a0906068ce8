// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say which symbols of a module file the running kernel knows once the module is loaded,
// and at which position among their namesakes, since livepatch finds them by name and position.
// Method: go by what the module loader does (kernel/module/main.c, kernel/module/kallsyms.c, with
// CONFIG_KALLSYMS_ALL, which CONFIG_LIVEPATCH selects): it keeps the named symbols of its per-CPU
// section and of those that stay allocated after init, in symbol-table order. It takes __versions
// and .modinfo for not allocated, and sections whose name starts with .init for init sections.
// Invariant: core_symbols_ rises, so positions are symbol-table order.
#include "kernel/module_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernel/decompress.h"

namespace suture::kernel {

namespace {

constexpr std::string_view per_cpu_section = ".data..percpu";

std::unexpected<Error> bad(const std::string& where, std::string reason) {
  return fail(Code::bad_module, where, std::move(reason),
              "give a module of the kernel's own packages; fetch it again if it may be cut off");
}

// struct module starts with its state and a list_head; the name follows (include/linux/module.h).
constexpr std::uint64_t name_in_struct_module = 24;
constexpr std::size_t module_name_size = 64 - sizeof(std::uint64_t);

Result<std::string> read_name(const elf::ObjectFile& elf, const std::string& where) {
  const elf::Section* self = elf.section(".gnu.linkonce.this_module");
  auto field =
      self == nullptr ? std::nullopt : slice(self->data, name_in_struct_module, module_name_size);
  auto name = field ? read_cstr(*field, 0) : std::nullopt;
  if (!name || name->empty()) {
    return bad(where, "it has no struct module with a name: it is not a kernel module");
  }
  return std::string(*name);
}

Result<elf::ObjectFile> open_elf(const fs::path& path) {
  const MappedFile file = TRY(MappedFile::open(path));
  if (compression_of(file.bytes()) == Compression::none) {
    return elf::ObjectFile::open(path);
  }
  Bytes bytes = TRY(decompress(file.bytes(), path.string(), Code::bad_module));
  return elf::ObjectFile::parse(std::move(bytes), path.string());
}

std::string read_build_id(const elf::ObjectFile& elf) {
  for (const elf::Section& section : elf.sections()) {
    if (section.type == SHT_NOTE) {
      if (auto id = elf::build_id(section.data)) {
        return *id;
      }
    }
  }
  return {};
}

// Whether the kernel's symbol list of a loaded module keeps what lies in `section`.
bool stays_after_init(const elf::Section& section) {
  if (section.name == per_cpu_section) {
    return true;
  }
  return (section.flags & SHF_ALLOC) != 0 && !section.name.starts_with(".init") &&
         section.name != ".modinfo" && section.name != "__versions";
}

// The position that livepatch counts for `symbol` among the symbols that `listed` takes.
template <class Listed>
std::uint32_t position(const elf::ObjectFile& elf, std::uint32_t symbol, const Listed& listed) {
  const std::string_view name = elf.symbols()[symbol].name;
  std::uint32_t count = 0;
  std::uint32_t place = 0;
  for (std::uint32_t i = 1; i < elf.symbols().size(); ++i) {
    if (elf.symbols()[i].name == name && listed(i)) {
      ++count;
      place = i == symbol ? count : place;
    }
  }
  return count == 1 ? 0 : place;
}

constexpr std::array<std::string_view, 4> module_suffixes = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};

// "nf-tables.ko.xz" → "nf_tables"; empty where it is no module's file name.
std::string module_name_of(std::string_view file) {
  for (std::string_view suffix : module_suffixes) {
    if (file.ends_with(suffix)) {
      std::string name(file.substr(0, file.size() - suffix.size()));
      std::ranges::replace(name, '-', '_');
      return name;
    }
  }
  return {};
}

// The file that modules.order means by "kernel/fs/fat/fat.ko": it may be compressed.
std::optional<fs::path> existing_file(const fs::path& directory, std::string_view listed) {
  if (!listed.ends_with(".ko")) {
    return std::nullopt;
  }
  for (std::string_view suffix : module_suffixes) {
    fs::path file = directory / fmt::format("{}{}", listed, suffix.substr(3));
    std::error_code ec;
    if (fs::is_regular_file(file, ec)) {
      return file;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<ModuleImage> ModuleImage::open(const fs::path& path) {
  auto elf = open_elf(path);
  if (!elf) {
    Error error = std::move(elf).error();
    error.code = error.code == Code::bad_elf ? Code::bad_module : error.code;
    return std::unexpected(std::move(error));
  }
  return of(*std::move(elf), path.string());
}

Result<ModuleImage> ModuleImage::of(elf::ObjectFile elf, const std::string& where) {
  ModuleImage module;
  module.elf_ = std::move(elf);
  if (module.elf_.file_type() != ET_REL) {
    return bad(where, "it is not a relocatable ELF file");
  }
  module.name_ = TRY(read_name(module.elf_, where));
  module.build_id_ = read_build_id(module.elf_);
  module.vermagic_ = module.modinfo("vermagic");
  const auto& symbols = module.elf_.symbols();
  for (std::uint32_t i = 1; i < symbols.size(); ++i) {
    if (symbols[i].defined() && !symbols[i].name.empty() &&
        stays_after_init(module.elf_.sections()[symbols[i].section])) {
      module.core_symbols_.push_back(i);
    }
  }
  return module;
}

std::string_view ModuleImage::modinfo(std::string_view key) const {
  const elf::Section* section = elf_.section(".modinfo");
  std::string_view rest = section == nullptr ? std::string_view{} : as_text(section->data);
  while (!rest.empty()) {
    std::string_view entry = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    if (entry.size() > key.size() && entry.starts_with(key) && entry[key.size()] == '=') {
      return entry.substr(key.size() + 1);
    }
  }
  return {};
}

std::vector<std::string> ModuleImage::depends() const {
  std::vector<std::string> names;
  std::string_view rest = modinfo("depends");
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!name.empty()) {
      names.emplace_back(name);
    }
  }
  return names;
}

std::uint32_t ModuleImage::sympos(std::uint32_t symbol) const {
  return position(elf_, symbol,
                  [&](std::uint32_t i) { return std::ranges::binary_search(core_symbols_, i); });
}

bool ModuleImage::same_sympos_while_loading(std::uint32_t symbol) const {
  return sympos(symbol) == position(elf_, symbol, [&](std::uint32_t i) {
           return elf_.symbols()[i].section != SHN_UNDEF;
         });
}

Result<ModuleDirectory> ModuleDirectory::open(const fs::path& directory) {
  ModuleDirectory modules;
  std::error_code ec;
  if (!fs::is_directory(directory, ec)) {
    return fail(Code::io, directory.string(), "it is not a directory",
                "give a directory like /lib/modules/RELEASE");
  }
  if (const fs::path order = directory / "modules.order"; fs::exists(order, ec)) {
    const std::string text = TRY(read_text(order));
    std::string_view rest = text;
    while (!rest.empty()) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (auto file = existing_file(directory, line)) {
        modules.files_.try_emplace(module_name_of(file->filename().native()), *file);
      }
    }
    return modules;
  }
  // Symbolic links are not followed: `build` and `source` lead out of the directory.
  fs::recursive_directory_iterator walk(directory, ec);
  for (; !ec && walk != fs::recursive_directory_iterator(); walk.increment(ec)) {
    std::string name = module_name_of(walk->path().filename().native());
    std::error_code gone;
    if (!name.empty() && walk->is_regular_file(gone)) {
      modules.files_.try_emplace(std::move(name), walk->path());
    }
  }
  if (ec) {
    return fail_errno(ec.value(), directory.string(), "list");
  }
  return modules;
}

std::optional<fs::path> ModuleDirectory::find(std::string_view name) const {
  auto found = files_.find(name);
  return found == files_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace suture::kernel
