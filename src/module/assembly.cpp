// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/assembly.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/digest.h"

namespace suture::module {

std::int32_t Assembly::section(const std::string& name, std::uint32_t type, std::uint64_t flags,
                               std::uint64_t alignment) {
  auto [it, added] = by_name_.try_emplace(name, static_cast<std::int32_t>(object_.sections.size()));
  if (added) {
    object_.sections.push_back(
        elf::OutSection{.name = name, .type = type, .flags = flags, .alignment = alignment});
    return it->second;
  }
  elf::OutSection& existing = at(it->second);
  existing.flags |= flags;
  existing.alignment = std::max(existing.alignment, alignment);
  if (existing.type == SHT_NOBITS && type != SHT_NOBITS) {
    existing.type = type;
    existing.data.resize(existing.size);
  }
  return it->second;
}

Place Assembly::append(std::int32_t section, ByteView bytes, std::uint64_t size,
                       std::uint64_t alignment) {
  elf::OutSection& out = at(section);
  // Code is padded with INT3 (0xcc on x86), data with zeros; neither is ever reached.
  std::uint8_t filler = (out.flags & SHF_EXECINSTR) != 0 ? 0xcc : 0;
  std::uint64_t offset = (this->size(section) + alignment - 1) / alignment * alignment;
  if (out.type == SHT_NOBITS) {
    out.size = offset + size;
  } else {
    out.data.resize(offset, filler);
    out.data.insert(out.data.end(), bytes.begin(), bytes.end());
    out.data.resize(offset + size, 0);
  }
  out.alignment = std::max(out.alignment, alignment);
  return Place{section, offset};
}

std::uint64_t Assembly::size(std::int32_t section) const {
  const elf::OutSection& out = object_.sections.at(static_cast<std::size_t>(section));
  return out.type == SHT_NOBITS ? out.size : out.data.size();
}

std::uint64_t Assembly::size(const std::string& section) const {
  auto it = by_name_.find(section);
  return it == by_name_.end() ? 0 : size(it->second);
}

void Assembly::add_symbol(const std::string& name, Place place, std::uint64_t size,
                          std::uint8_t type) {
  own_.push_back(elf::OutSymbol{.name = name,
                                .value = place.offset,
                                .size = size,
                                .binding = STB_LOCAL,
                                .type = type,
                                .section = place.section});
}

void Assembly::relocate(Place field, std::uint32_t type, Place target, std::int64_t addend) {
  fields_.push_back(Field{.field = field,
                          .type = type,
                          .addend = addend + static_cast<std::int64_t>(target.offset),
                          .section = target.section});
}

void Assembly::relocate(Place field, std::uint32_t type, const Binding& target, std::int64_t addend,
                        const std::string& patched) {
  Field out{.field = field, .type = type, .addend = addend};
  const std::string& bound_with = target.object == "vmlinux" ? target.object : patched;
  if (target.exported) {
    imports_.emplace(target.name, target);
    out.external = target.name;
  } else if (core_ == Core::suture) {
    core_fields_.push_back(CoreField{field, type, target, addend, bound_with});
    return;
  } else {
    out.external = fmt::format(".klp.sym.{}.{},{}", target.object, target.name, target.sympos);
    out.klp_object = bound_with;
    klp_.emplace(out.external, target);
  }
  fields_.push_back(std::move(out));
}

std::vector<std::string> Assembly::core_symbols() const {
  std::set<std::string> out;
  auto add = [&](const Binding& binding) {
    out.insert(fmt::format("{}:{},{}", binding.object, binding.name, binding.sympos));
  };
  for (const auto& [name, binding] : klp_) {
    add(binding);
  }
  for (const CoreField& field : core_fields_) {
    add(field.target);
  }
  return {out.begin(), out.end()};
}

std::string Assembly::digest() const {
  Bytes all;
  auto add = [&](std::string_view text) {
    append_le<std::uint64_t>(all, text.size());
    all.insert(all.end(), text.begin(), text.end());
  };
  for (const elf::OutSection& section : object_.sections) {
    add(section.name);
    add(as_text(section.data));
    append_le<std::uint64_t>(all, section.size);
  }
  for (const Field& field : fields_) {
    append_le<std::int32_t>(all, field.field.section);
    append_le<std::uint64_t>(all, field.field.offset);
    append_le<std::uint32_t>(all, field.type);
    append_le<std::int64_t>(all, field.addend);
    append_le<std::int32_t>(all, field.section);
    add(field.external);
  }
  return sha256_hex(all);
}

Result<Bytes> Assembly::finish() {
  // Locals first, as ELF wants: one section symbol each, then the named ones, then what is outside.
  std::map<std::string, std::uint32_t> outside;
  for (std::size_t i = 0; i < object_.sections.size(); ++i) {
    object_.symbols.push_back(
        elf::OutSymbol{.type = STT_SECTION, .section = static_cast<std::int32_t>(i)});
  }
  object_.symbols.insert(object_.symbols.end(), own_.begin(), own_.end());
  auto add_outside = [&](const std::string& name, std::uint16_t special) {
    outside.emplace(name, static_cast<std::uint32_t>(object_.symbols.size()));
    object_.symbols.push_back(
        elf::OutSymbol{.name = name, .binding = STB_GLOBAL, .special = special});
  };
  for (const auto& [name, binding] : imports_) {
    add_outside(name, SHN_UNDEF);
  }
  for (const auto& [name, binding] : klp_) {
    add_outside(name, elf::shn_livepatch);
  }
  std::map<std::pair<std::int32_t, std::string>, elf::OutRelocations> lists;
  for (const Field& field : fields_) {
    auto& list = lists[{field.field.section, field.klp_object}];
    if (list.entries.empty()) {
      const std::string& target = name(field.field.section);
      bool klp = !field.klp_object.empty();
      list.name = klp ? fmt::format(".klp.rela.{}.{}", field.klp_object, target)
                      : fmt::format(".rela{}", target);
      // livepatch may apply them long after the module was loaded, so they must stay in memory.
      list.flags =
          klp ? SHF_INFO_LINK | SHF_ALLOC | elf::shf_rela_livepatch : std::uint64_t{SHF_INFO_LINK};
      list.target = static_cast<std::uint32_t>(field.field.section);
    }
    list.entries.push_back(
        elf::OutRelocation{.offset = field.field.offset,
                           .type = field.type,
                           .symbol = field.section >= 0 ? static_cast<std::uint32_t>(field.section)
                                                        : outside.at(field.external),
                           .addend = field.addend});
  }
  for (auto& [key, list] : lists) {
    object_.relocations.push_back(std::move(list));
  }
  return elf::write(object_);
}

}  // namespace suture::module
