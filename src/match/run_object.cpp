// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/run_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace suture::match {

namespace {

// Where a module's sections and its undefined symbols are put: within 2 GiB of each other, so that
// every 32-bit field fits.
constexpr std::uint64_t module_base = 0x10000000;
constexpr std::uint64_t outside_base = 0x60000000;
constexpr std::uint64_t outside_step = 0x1000;  // room for `symbol + addend` without a collision

}  // namespace

RunObject RunObject::of_vmlinux(const kernel::Image& image) {
  RunObject object;
  object.name_ = "vmlinux";
  object.build_id_ = image.build_id();
  object.image_ = &image;
  object.symbols_ =
      std::shared_ptr<const kernel::SymbolTable>(std::shared_ptr<void>{}, &image.symbols());
  object.read_seals();
  return object;
}

Result<RunObject> RunObject::of_module(const kernel::ModuleImage& module, const elf::Arch& arch) {
  RunObject object;
  object.name_ = module.name();
  object.build_id_ = module.build_id();
  object.module_ = &module;
  const auto& sections = module.elf().sections();
  const auto& symbols = module.elf().symbols();
  std::vector<std::uint64_t> base(sections.size(), 0);
  std::uint64_t next = module_base;
  for (std::size_t i = 1; i < sections.size(); ++i) {
    const elf::Section& section = sections[i];
    if ((section.flags & SHF_ALLOC) == 0 || section.size > 0x10000000) {
      continue;
    }
    std::uint64_t align = std::max<std::uint64_t>(16, section.alignment);
    next = (next + align - 1) / align * align;
    base[i] = next;
    // A gap after each section: an end-of-section address must not be the next one's start.
    next += section.size + 64;
    if (next >= outside_base) {
      return fail(Code::bad_module, module.name(), "its sections are too large",
                  "check the module file");
    }
  }
  auto address_of = [&](const elf::Symbol& symbol) -> std::uint64_t {
    if (symbol.defined()) {
      return base[symbol.section] + symbol.value;
    }
    auto [it, added] = object.outside_.try_emplace(
        std::string(symbol.name), outside_base + outside_step * object.outside_.size());
    object.outside_names_.emplace(it->second, it->first);
    return it->second;
  };
  for (std::size_t i = 1; i < sections.size(); ++i) {
    const elf::Section& section = sections[i];
    if (base[i] == 0) {
      continue;
    }
    Area area{.section = static_cast<std::uint32_t>(i),
              .address = base[i],
              .bytes = Bytes(section.data.begin(), section.data.end())};
    area.bytes.resize(section.size);
    for (const elf::Relocation& relocation : section.relocations) {
      auto kind = arch.relocation(relocation.type);
      if (!kind || relocation.offset + kind->size > area.bytes.size()) {
        if (relocation.type == R_X86_64_NONE) {
          continue;
        }
        return fail(Code::bad_module, fmt::format("{}: {}", module.name(), section.name),
                    fmt::format("relocation type {} cannot be applied", relocation.type),
                    "check that the module file is whole");
      }
      std::uint64_t value =
          address_of(symbols[relocation.symbol]) + static_cast<std::uint64_t>(relocation.addend);
      if (kind->pc_relative) {
        value -= area.address + relocation.offset;
      }
      std::memcpy(area.bytes.data() + relocation.offset, &value, kind->size);
    }
    object.areas_.push_back(std::move(area));
  }
  auto names = std::make_shared<std::string>();
  std::vector<kernel::RunSymbol> core;
  core.reserve(module.core_symbols().size());
  for (std::uint32_t index : module.core_symbols()) {
    const elf::Symbol& symbol = symbols[index];
    const bool text = symbol.defined() && (sections[symbol.section].flags & SHF_EXECINSTR) != 0;
    const bool global = symbol.binding != STB_LOCAL;
    // The names stay in the module's own string table, which the module object keeps alive.
    core.push_back(kernel::RunSymbol{.name = symbol.name,
                                     .address = address_of(symbol),
                                     .type = text ? (global ? 'T' : 't') : (global ? 'D' : 'd')});
  }
  object.symbols_ = std::make_shared<kernel::SymbolTable>(std::move(names), std::move(core));
  object.read_seals();
  return object;
}

std::optional<ByteView> RunObject::at(std::uint64_t address, std::uint64_t size) const {
  if (image_ != nullptr) {
    return image_->at(address, size);
  }
  auto it = std::ranges::upper_bound(areas_, address, {}, &Area::address);
  if (it == areas_.begin()) {
    return std::nullopt;
  }
  --it;
  return slice(it->bytes, address - it->address, size);
}

ByteView RunObject::from(std::uint64_t address, std::uint64_t most) const {
  std::uint64_t end = address;
  if (image_ != nullptr) {
    const elf::Section* section = image_->section_at(address);
    end = section == nullptr ? address : section->address + section->size;
  } else {
    auto it = std::ranges::upper_bound(areas_, address, {}, &Area::address);
    if (it != areas_.begin()) {
      --it;
      end = std::max(address, it->address + it->bytes.size());
    }
  }
  return at(address, std::min(most, end - address)).value_or(ByteView{});
}

std::optional<std::pair<std::uint32_t, std::uint64_t>> RunObject::place(
    std::uint64_t address) const {
  auto it = std::ranges::upper_bound(areas_, address, {}, &Area::address);
  if (it == areas_.begin() || address - std::prev(it)->address > std::prev(it)->bytes.size()) {
    return std::nullopt;
  }
  --it;
  return std::pair(it->section, address - it->address);
}

std::string_view RunObject::compiler() const {
  if (image_ != nullptr) {
    // "gcc-12 (Debian ...": objects do not say under which name the compiler was called.
    std::string_view text = image_->compiler();
    return text.substr(std::min(text.size(), text.find('(')));
  }
  const elf::Section* comment = module_->elf().section(".comment");
  return comment == nullptr ? std::string_view{} : elf::compiler(*comment);
}

std::pair<std::uint64_t, ByteView> RunObject::jump_table() const {
  if (image_ != nullptr) {
    const kernel::RunSymbol* start = symbols_->unique("__start___jump_table");
    const kernel::RunSymbol* stop = symbols_->unique("__stop___jump_table");
    if (start == nullptr || stop == nullptr || stop->address < start->address) {
      return {};
    }
    return {start->address,
            at(start->address, stop->address - start->address).value_or(ByteView{})};
  }
  for (const Area& area : areas_) {
    if (module_->elf().sections()[area.section].name == "__jump_table") {
      return {area.address, area.bytes};
    }
  }
  return {};
}

ByteView RunObject::function_at(std::uint64_t address, std::uint64_t size,
                                std::span<const std::string_view> labels) const {
  std::uint64_t room = size + most_padding;
  auto is_label = [&](std::uint32_t symbol) {
    return std::ranges::find(labels, symbols_->all()[symbol].name) != labels.end();
  };
  auto next = symbols_->next_address(address);
  while (next && !labels.empty() && std::ranges::all_of(symbols_->at(*next), is_label)) {
    next = symbols_->next_address(*next);
  }
  if (next) {
    room = std::min(room, *next - address);
  }
  return from(address, room);
}

std::uint64_t RunObject::size_of(std::uint32_t symbol) const {
  if (module_ != nullptr) {
    return module_->elf().symbols()[module_->core_symbols()[symbol]].size;
  }
  const std::uint64_t address = symbols_->all()[symbol].address;
  const elf::Section* section = image_->section_at(address);
  const std::uint64_t end = section == nullptr ? address : section->address + section->size;
  return std::min(symbols_->next_address(address).value_or(end), end) - address;
}

bool RunObject::is_weak(std::uint32_t symbol) const {
  if (module_ != nullptr) {
    return module_->elf().symbols()[module_->core_symbols()[symbol]].binding == STB_WEAK;
  }
  const char type = symbols_->all()[symbol].type;
  return type == 'W' || type == 'V';
}

bool RunObject::has_entry_call(std::uint32_t symbol) const {
  constexpr std::array<std::uint8_t, 4> endbr64{0xf3, 0x0f, 0x1e, 0xfa};
  constexpr std::array<std::uint8_t, 5> nop{0x0f, 0x1f, 0x44, 0x00, 0x00};
  constexpr std::uint8_t call = 0xe8;
  std::uint64_t entry = symbols_->all()[symbol].address;
  auto code = at(entry, endbr64.size());
  if (code && std::ranges::equal(*code, endbr64)) {
    entry += endbr64.size();
  }
  code = at(entry, nop.size());
  if (!code || std::ranges::equal(*code, nop) || (*code)[0] != call) {
    return code && std::ranges::equal(*code, nop);
  }
  const std::uint64_t target =
      entry + nop.size() +
      static_cast<std::uint64_t>(std::int64_t{*read_le<std::int32_t>(*code, 1)});
  const auto names = names_at(target);
  return std::ranges::find(names, "__fentry__") != names.end();
}

void RunObject::for_each_part(const std::function<void(const Part&)>& visit) const {
  for (const Area& area : areas_) {
    visit({module_->elf().sections()[area.section], area.address, area.bytes});
  }
  for (const elf::Section& section : image_ != nullptr
                                         ? std::span<const elf::Section>(image_->elf().sections())
                                         : std::span<const elf::Section>{}) {
    if ((section.flags & SHF_ALLOC) != 0) {
      visit({section, section.address, section.data});
    }
  }
}

std::size_t RunObject::direct_calls(std::uint64_t address) const {
  constexpr std::uint8_t call_opcode = 0xe8;
  constexpr std::uint8_t jump_opcode = 0xe9;
  constexpr std::uint64_t length = 5;
  std::size_t out = 0;
  for_each_part([&](const Part& part) {
    const ByteView code = part.bytes;
    if ((part.section.flags & SHF_EXECINSTR) == 0) {
      return;
    }
    for (std::uint64_t i = 0; i + length <= code.size(); ++i) {
      if (code[i] == call_opcode || code[i] == jump_opcode) {
        const std::int64_t distance = *read_le<std::int32_t>(code, i + 1);
        out += part.start + i + length + static_cast<std::uint64_t>(distance) == address ? 1U : 0U;
      }
    }
  });
  return out;
}

bool RunObject::is_freed(std::uint64_t address) const {
  if (image_ == nullptr) {
    return false;
  }
  const kernel::RunSymbol* begin = symbols_->unique("__init_begin");
  const kernel::RunSymbol* end = symbols_->unique("__init_end");
  return begin != nullptr && end != nullptr && address >= begin->address && address < end->address;
}

// objtool lists what apply_seal_endbr() overwrites: distances, each from its own place to a
// function's entry.
void RunObject::read_seals() {
  for_each_part([this](const Part& part) {
    constexpr std::uint64_t width = 4;
    if (part.section.name != ".ibt_endbr_seal") {
      return;
    }
    for (std::uint64_t i = 0; i + width <= part.bytes.size(); i += width) {
      const std::int64_t distance = *read_le<std::int32_t>(part.bytes, i);
      sealed_.push_back(part.start + i + static_cast<std::uint64_t>(distance));
    }
  });
  std::ranges::sort(sealed_);
}

bool RunObject::is_sealed(std::uint64_t address) const {
  return std::ranges::binary_search(sealed_, address);
}

bool RunObject::links_to_own(std::string_view name) const {
  return module_ != nullptr &&
         std::ranges::any_of(module_->elf().symbols(), [&](const elf::Symbol& symbol) {
           return symbol.defined() && symbol.binding != STB_LOCAL && symbol.name == name;
         });
}

bool RunObject::depends_on(std::string_view module) const {
  return module_ != nullptr && std::ranges::any_of(module_->depends(), [&](std::string name) {
           // As its file is called: symbols and Module.symvers have underscores for dashes.
           std::ranges::replace(name, '-', '_');
           return name == module;
         });
}

std::vector<std::string_view> RunObject::names_at(std::uint64_t address) const {
  std::vector<std::string_view> out;
  for (std::uint32_t index : symbols_->at(address)) {
    out.push_back(symbols_->all()[index].name);
  }
  auto outside = outside_names_.find(address);
  if (outside != outside_names_.end()) {
    out.push_back(outside->second);
  }
  return out;
}

bool RunObject::is_outside(std::uint64_t address) const { return outside_names_.contains(address); }

std::optional<std::uint64_t> RunObject::outside(std::string_view name) const {
  auto it = outside_.find(name);
  return it == outside_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace suture::match
