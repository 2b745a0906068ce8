// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/text.h"
#include "module/foreign.h"

namespace suture::module {

namespace {

// "key=value" strings, NUL-separated, in the order of the section.
std::vector<std::pair<std::string_view, std::string_view>> modinfo_pairs(ByteView section) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  std::string_view rest = as_text(section);
  while (!rest.empty()) {
    std::string_view item = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    std::size_t equals = item.find('=');
    if (equals != std::string_view::npos) {
      out.emplace_back(item.substr(0, equals), item.substr(equals + 1));
    }
  }
  return out;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    std::size_t space = text.find(' ');
    if (space != 0) {
      out.push_back(text.substr(0, space));
    }
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
  }
  return out;
}

// What follows the first `count` words.
std::string rest_after(std::string_view text, int count) {
  for (; count > 0; --count) {
    std::size_t space = text.find(' ');
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
  }
  return std::string(text);
}

template <class T>
T number(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

PatchedObject& object_named(Metadata& metadata, std::string_view name) {
  auto it = std::ranges::find(metadata.objects, name, &PatchedObject::name);
  if (it != metadata.objects.end()) {
    return *it;
  }
  return metadata.objects.emplace_back(PatchedObject{.name = std::string(name)});
}

void read_own_key(Metadata& metadata, std::string_view key, std::string_view value) {
  const std::vector<std::string_view> parts = words(value);
  auto part = [&](std::size_t i) {
    return i < parts.size() ? std::string(parts[i]) : std::string{};
  };
  if (key == "format") {
    metadata.ours = true;
  } else if (key == "version") {
    metadata.version = value;
  } else if (key == "tool") {
    metadata.tool = value;
  } else if (key == "release") {
    metadata.release = value;
  } else if (key == "description") {
    metadata.description = value;
  } else if (key == "core") {
    metadata.core = value == core_name(Core::suture) ? Core::suture : Core::livepatch;
  } else if (key == "replace") {
    metadata.replace = value == "1";
  } else if (key == "cve") {
    metadata.cves.emplace_back(value);
  } else if (key == "state") {
    metadata.states.push_back(SystemState{.id = number<std::uint64_t>(part(0)),
                                          .version = number<std::uint32_t>(part(1))});
  } else if (key == "callback") {
    metadata.callbacks.push_back(
        Callback{.object = part(0), .kind = part(1), .function = part(2), .source = part(3)});
  } else if (key == "ignored") {
    metadata.ignored.push_back(
        Ignored{.source = part(0), .name = part(1), .reason = rest_after(value, 2)});
  } else if (key == "taken_back") {
    metadata.taken_back.push_back(
        Ignored{.source = part(0), .name = part(1), .reason = rest_after(value, 2)});
  } else if (key == "pinned") {
    metadata.pinned.push_back(Pin{.source = part(0), .name = part(1), .by = part(2)});
  } else if (key == "diff") {
    metadata.diffs.push_back(SourceDiff{.sha256 = part(0), .file = rest_after(value, 1)});
  } else if (key == "object") {
    object_named(metadata, part(0)).build_id = part(1);
  } else if (key == "func") {
    object_named(metadata, part(0))
        .functions.push_back(PatchedFunction{
            .name = part(1), .sympos = number<std::uint32_t>(part(2)), .source = part(3)});
  } else if (key == "new") {
    object_named(metadata, part(0))
        .functions.push_back(PatchedFunction{.name = part(1), .source = part(2), .is_new = true});
  }
}

// Where a pointer of a section points: the section and the offset in it.
std::optional<std::pair<const elf::Section*, std::uint64_t>> pointed_at(
    const elf::ObjectFile& object, const elf::Section& section, std::uint64_t offset) {
  auto it = std::ranges::lower_bound(section.relocations, offset, {}, &elf::Relocation::offset);
  if (it == section.relocations.end() || it->offset != offset) {
    return std::nullopt;
  }
  const elf::Symbol& symbol = object.symbols()[it->symbol];
  if (!symbol.defined()) {
    return std::nullopt;
  }
  return std::pair(&object.sections()[symbol.section],
                   symbol.value + static_cast<std::uint64_t>(it->addend));
}

// What the records for Suture's core name: struct suture_relocation and struct suture_symbol of
// kmod/include/suture_patch.h.
void read_core_records(Metadata& metadata, const elf::ObjectFile& object) {
  constexpr std::uint64_t record_size = 32;
  const elf::Section* records = object.section(".rodata.suture_relocations");
  std::set<std::string> found;
  for (std::uint64_t at = 0; records != nullptr && at + record_size <= records->size;
       at += record_size) {
    const auto symbol = pointed_at(object, *records, at + 8);
    if (!symbol) {
      continue;
    }
    auto text = [&](std::uint64_t member) {
      const auto place = pointed_at(object, *symbol->first, symbol->second + member);
      return place ? read_cstr(place->first->data, place->second) : std::nullopt;
    };
    const auto sympos = read_le<std::uint64_t>(symbol->first->data, symbol->second + 16);
    if (auto name = text(8); name && sympos) {
      found.insert(fmt::format("{}:{},{}", text(0).value_or("vmlinux"), *name, *sympos));
    }
  }
  metadata.core_symbols.insert(metadata.core_symbols.end(), found.begin(), found.end());
}

// Symbols: ".klp.sym.OBJECT.NAME,SYMPOS" are bound by the livepatch core, plain undefined ones are
// imports.
void read_symbols(Metadata& metadata, const elf::ObjectFile& object) {
  constexpr std::string_view prefix = ".klp.sym.";
  for (const elf::Symbol& symbol : object.symbols()) {
    if (symbol.section == elf::shn_livepatch && symbol.name.starts_with(prefix)) {
      std::string_view rest = symbol.name.substr(prefix.size());
      std::size_t dot = rest.find('.');
      if (dot != std::string_view::npos) {
        metadata.core_symbols.push_back(
            fmt::format("{}:{}", rest.substr(0, dot), rest.substr(dot + 1)));
      }
    } else if (symbol.section == SHN_UNDEF && !symbol.name.empty()) {
      metadata.imports.emplace_back(symbol.name);
    }
  }
  std::ranges::sort(metadata.core_symbols);
  std::ranges::sort(metadata.imports);
}

}  // namespace

std::string_view core_name(Core core) { return core == Core::suture ? "suture" : "livepatch"; }

std::string describe(const std::vector<Pin>& pins) {
  constexpr std::size_t shown = 3;
  std::vector<std::string> texts;
  for (const Pin& pin : pins) {
    texts.push_back(fmt::format("{} (by {} in {})", pin.name, pin.by, pin.source));
  }
  return listed(texts, shown);
}

std::vector<std::string> to_modinfo(const Metadata& metadata) {
  std::vector<std::string> out{"suture.format=1"};
  auto add = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) {
      out.push_back(fmt::format("suture.{}={}", key, value));
    }
  };
  add("patch", metadata.name);
  add("version", metadata.version);
  add("tool", metadata.tool);
  add("release", metadata.release);
  add("core", core_name(metadata.core));
  add("replace", metadata.replace ? "1" : "0");
  add("description", metadata.description);
  for (const SystemState& state : metadata.states) {
    add("state", fmt::format("{} {}", state.id, state.version));
  }
  for (const Callback& callback : metadata.callbacks) {
    add("callback", fmt::format("{} {} {} {}", callback.object, callback.kind, callback.function,
                                callback.source));
  }
  for (const Ignored& ignored : metadata.ignored) {
    add("ignored", fmt::format("{} {} {}", ignored.source, ignored.name, ignored.reason));
  }
  for (const Ignored& word : metadata.taken_back) {
    add("taken_back", fmt::format("{} {} {}", word.source, word.name, word.reason));
  }
  for (const Pin& pin : metadata.pinned) {
    add("pinned", fmt::format("{} {} {}", pin.source, pin.name, pin.by));
  }
  for (const std::string& cve : metadata.cves) {
    add("cve", cve);
  }
  for (const SourceDiff& diff : metadata.diffs) {
    add("diff", fmt::format("{} {}", diff.sha256, diff.file));
  }
  for (const PatchedObject& object : metadata.objects) {
    add("object", fmt::format("{} {}", object.name, object.build_id));
    for (const PatchedFunction& function : object.functions) {
      if (function.is_new) {
        add("new", fmt::format("{} {} {}", object.name, function.name, function.source));
      } else {
        add("func", fmt::format("{} {} {} {}", object.name, function.name, function.sympos,
                                function.source));
      }
    }
  }
  return out;
}

Bytes to_note(const Metadata& metadata) {
  std::string text;
  for (const std::string& item : to_modinfo(metadata)) {
    text += item + '\0';
  }
  constexpr std::size_t align = 4;
  std::string owner(note_owner);
  owner.resize((owner.size() + align) / align * align);
  Bytes out;
  append_le(out, static_cast<std::uint32_t>(note_owner.size() + 1));
  append_le(out, static_cast<std::uint32_t>(text.size()));
  append_le(out, note_type);
  out.insert(out.end(), owner.begin(), owner.end());
  out.insert(out.end(), text.begin(), text.end());
  out.resize((out.size() + align - 1) / align * align);
  return out;
}

std::optional<Metadata> parse_note(ByteView section) {
  constexpr std::uint64_t header = 12;
  const auto owner_size = read_le<std::uint32_t>(section, 0);
  const auto size = read_le<std::uint32_t>(section, 4);
  const auto type = read_le<std::uint32_t>(section, 8);
  const auto owner = read_cstr(section, header);
  if (!type || *type != note_type || owner != note_owner || *owner_size != note_owner.size() + 1) {
    return std::nullopt;
  }
  const auto text = slice(section, header + (note_owner.size() + 4) / 4 * 4, *size);
  if (!text) {
    return std::nullopt;
  }
  Metadata metadata;
  for (const auto& [key, value] : modinfo_pairs(*text)) {
    if (key == "suture.patch") {
      metadata.name = value;
    } else if (key.starts_with("suture.")) {
      read_own_key(metadata, key.substr(7), value);
    }
  }
  metadata.livepatch = metadata.core == Core::livepatch;
  return metadata.ours ? std::optional(std::move(metadata)) : std::nullopt;
}

Result<Metadata> read_metadata(const elf::ObjectFile& object, const std::string& where) {
  const elf::Section* info = object.section(".modinfo");
  if (info == nullptr || object.file_type() != ET_REL) {
    return fail(Code::bad_module, where, "it is not a kernel module (no .modinfo section)",
                "give the .ko file that `suture build` wrote");
  }
  Metadata metadata;
  for (const auto& [key, value] : modinfo_pairs(info->data)) {
    if (key == "name") {
      metadata.name = value;
    } else if (key == "vermagic") {
      metadata.vermagic = value;
    } else if (key == "livepatch") {
      metadata.livepatch = value == "Y";
    } else if (key.starts_with("suture.")) {
      read_own_key(metadata, key.substr(7), value);
    } else if (key == "description" && metadata.description.empty()) {
      metadata.description = value;
    }
  }
  if (metadata.release.empty()) {
    metadata.release = metadata.vermagic.substr(0, metadata.vermagic.find(' '));
  }
  if (const elf::Section* note = object.section(".note.gnu.build-id")) {
    metadata.build_id = elf::build_id(note->data).value_or("");
  }
  read_symbols(metadata, object);
  if (metadata.ours && metadata.core == Core::suture) {
    read_core_records(metadata, object);
  }
  if (!metadata.ours && metadata.livepatch) {
    for (const ForeignFunction& function : foreign_functions(object)) {
      object_named(metadata, function.object)
          .functions.push_back(PatchedFunction{.name = function.name, .sympos = function.sympos});
    }
    for (const std::string& klp : metadata.core_symbols) {
      object_named(metadata, klp.substr(0, klp.find(':')));
    }
  }
  return metadata;
}

Result<Metadata> read_metadata(const fs::path& module) {
  auto object = elf::ObjectFile::open(module);
  if (!object && object.error().code == Code::bad_elf) {
    return fail(Code::bad_module, module.string(),
                fmt::format("it is no module: {}", object.error().reason),
                "give the .ko file that `suture build` wrote");
  }
  return read_metadata(TRY(std::move(object)), module.string());
}

}  // namespace suture::module
