// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace suture::module {

namespace {

void write_name(const Metadata& metadata, const Glue& glue, Place self, Assembly& assembly) {
  Bytes& bytes = assembly.data(self.section);
  auto at = static_cast<std::ptrdiff_t>(self.offset + glue.constant("module.name"));
  std::fill_n(bytes.begin() + at, glue.constant("module_name_len"), std::uint8_t{0});
  std::ranges::copy(metadata.name, bytes.begin() + at);
}

std::set<std::string> import_spaces(const Assembly& assembly) {
  std::set<std::string> out;
  for (const auto& [name, binding] : assembly.imports()) {
    if (!binding.name_space.empty()) {
      out.insert(binding.name_space);
    }
  }
  return out;
}

void write_modinfo(Metadata& metadata, const Glue& glue, Assembly& assembly) {
  std::string info;
  auto add = [&](std::string_view text) {
    info += text;
    info += '\0';
  };
  if (const elf::Section* base = glue.object.section(".modinfo")) {
    info += as_text(base->data);
    constexpr std::string_view key = "vermagic=";
    const std::size_t at = info.find(key);
    if (at != std::string::npos) {
      const std::size_t start = at + key.size();
      metadata.vermagic = info.substr(start, info.find('\0', start) - start);
    }
  }
  add(fmt::format("name={}", metadata.name));
  for (const std::string& name_space : import_spaces(assembly)) {
    add(fmt::format("import_ns={}", name_space));
  }
  if (!metadata.description.empty()) {
    add(fmt::format("description={}", metadata.description));
  }
  for (const std::string& item : to_modinfo(metadata)) {
    add(item);
  }
  std::int32_t section = assembly.section(".modinfo", SHT_PROGBITS, SHF_ALLOC, 1);
  assembly.append(section, as_bytes(info), info.size(), 1);
}

// struct modversion_info[] (include/linux/module.h); module_layout stands for struct module.
void write_versions(const Glue& glue, const kernel::Symvers& symvers, Assembly& assembly) {
  const kernel::Export* layout = symvers.find("module_layout");
  if (layout == nullptr) {
    return;  // a kernel without CONFIG_MODVERSIONS
  }
  std::map<std::string, std::uint32_t> versions{{"module_layout", layout->crc}};
  for (const auto& [name, binding] : assembly.imports()) {
    versions.emplace(name, binding.crc);
  }
  std::int32_t section = assembly.section("__versions", SHT_PROGBITS, SHF_ALLOC, 32);
  for (const auto& [name, crc] : versions) {
    Bytes entry(glue.constant("modversion_info"), 0);
    write_le<std::uint64_t>(entry, 0, crc);
    std::uint64_t at = glue.constant("modversion_info.name");
    std::copy_n(name.begin(), std::min<std::size_t>(name.size(), entry.size() - at - 1),
                entry.begin() + static_cast<std::ptrdiff_t>(at));
    assembly.append(section, entry, entry.size(), 1);
  }
}

void write_build_id(Metadata& metadata, Assembly& assembly) {
  metadata.build_id = assembly.digest().substr(0, 40);
  Bytes note;
  append_le<std::uint32_t>(note, 4);
  append_le<std::uint32_t>(note, 20);
  append_le<std::uint32_t>(note, NT_GNU_BUILD_ID);
  note.insert(note.end(), {'G', 'N', 'U', 0});
  for (std::size_t i = 0; i < 40; i += 2) {
    note.push_back(
        static_cast<std::uint8_t>(std::stoul(metadata.build_id.substr(i, 2), nullptr, 16)));
  }
  std::int32_t section = assembly.section(".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 4);
  assembly.append(section, note, note.size(), 4);
}

// What the running machine shows of it.
void write_note(const Metadata& metadata, Assembly& assembly) {
  const Bytes note = to_note(metadata);
  std::int32_t section = assembly.section(std::string(note_section), SHT_NOTE, SHF_ALLOC, 4);
  assembly.append(section, note, note.size(), 4);
}

}  // namespace

void write_identity(Metadata& metadata, const Glue& glue, const kernel::Symvers& symvers,
                    const Placing& placing, Assembly& assembly) {
  write_name(metadata, glue, placing.global("__this_module"), assembly);
  write_modinfo(metadata, glue, assembly);
  write_versions(glue, symvers, assembly);
  write_note(metadata, assembly);
  write_build_id(metadata, assembly);
}

}  // namespace suture::module
