// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/running.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

constexpr const char* remedy = "report this with the diff";

std::unexpected<Error> no_symbol(const std::string& object, std::string_view name,
                                 std::string reason) {
  return fail(Code::proof_failed, fmt::format("{}:{}", object, name), std::move(reason), remedy);
}

}  // namespace

Running::Running(const kernel::Image& image, std::span<const kernel::ImageExport> exports,
                 const kernel::Symvers& symvers, ModuleFinder find_module,
                 const kernel::Symvers* core_exports)
    : image_(image), exports_(exports), symvers_(symvers), find_module_(std::move(find_module)) {
  // Between vmlinux and the patch module; each at a place that nothing else has.
  std::uint64_t next = 0xffffffffbf000000;
  for (const auto& [name, entry] : core_exports == nullptr
                                       ? std::unordered_map<std::string_view, kernel::Export>{}
                                       : core_exports->all()) {
    core_exports_.push_back(kernel::ImageExport{.name = name,
                                                .address = next += 0x1000,
                                                .crc = entry.crc,
                                                .gpl_only = entry.gpl_only,
                                                .name_space = entry.name_space});
  }
  std::ranges::sort(core_exports_, {}, &kernel::ImageExport::name);
}

const kernel::ImageExport* Running::exported(std::string_view name) const {
  for (std::span<const kernel::ImageExport> all : {exports_, std::span(core_exports_)}) {
    auto it = std::ranges::lower_bound(all, name, {}, &kernel::ImageExport::name);
    if (it != all.end() && it->name == name) {
      return &*it;
    }
  }
  return nullptr;
}

Result<std::uint64_t> Running::core_symbol(const CoreSymbol& symbol) {
  const std::uint64_t address = TRY(livepatch_symbol(symbol.object, symbol.name, symbol.position));
  if (symbol.object == "vmlinux" && symbol.address != address) {
    return no_symbol(symbol.object, symbol.name,
                     fmt::format("the patch states that it is at {:#x}, and it is at {:#x}",
                                 symbol.address, address));
  }
  return address;
}

Result<std::uint64_t> Running::size_of(const CoreSymbol& symbol, std::uint64_t address) {
  if (symbol.object == "vmlinux") {
    const elf::Section* section = image_.section_at(address);
    const std::uint64_t end = section == nullptr ? address : section->address + section->size;
    return std::min(end, image_.symbols().next_address(address).value_or(end)) - address;
  }
  Module* in = TRY(module(symbol.object));
  auto named = in->by_name.find(symbol.name);
  for (std::uint32_t index :
       named == in->by_name.end() ? std::vector<std::uint32_t>{} : named->second) {
    if (address_in(*in, index) == address) {
      return in->image->elf().symbols()[index].size;
    }
  }
  return no_symbol(symbol.object, symbol.name, "it is not at that place");
}

Result<Running::Module*> Running::module(const std::string& name) {
  std::unique_ptr<Module>& slot = modules_[name];
  if (slot != nullptr) {
    return slot.get();
  }
  auto made = std::make_unique<Module>();
  made->image = TRY(find_module_(name));
  const elf::ObjectFile& elf = made->image->elf();
  made->bases.resize(elf.sections().size(), 0);
  for (std::size_t i = 1; i < elf.sections().size(); ++i) {
    const elf::Section& section = elf.sections()[i];
    if ((section.flags & SHF_ALLOC) != 0) {
      const std::uint64_t align = std::max<std::uint64_t>(64, section.alignment);
      next_ = (next_ + align - 1) / align * align;
      made->bases[i] = next_;
      next_ += section.size + 64;
    }
  }
  for (std::uint32_t symbol : made->image->core_symbols()) {
    made->by_name[elf.symbols()[symbol].name].push_back(symbol);
  }
  slot = std::move(made);
  return slot.get();
}

std::uint64_t Running::address_in(const Module& module, std::uint32_t symbol) const {
  const elf::Symbol& found = module.image->elf().symbols()[symbol];
  return module.bases[found.section] + found.value;
}

Result<std::uint64_t> Running::livepatch_symbol(const std::string& object, std::string_view name,
                                                std::uint64_t position) {
  std::vector<std::uint64_t> candidates;
  if (object == "vmlinux") {
    for (std::uint32_t index : image_.symbols().find(name)) {
      candidates.push_back(image_.symbols().all()[index].address);
    }
  } else {
    Module* in = TRY(module(object));
    auto it = in->by_name.find(name);
    for (std::uint32_t symbol :
         it == in->by_name.end() ? std::vector<std::uint32_t>{} : it->second) {
      if (!in->image->same_sympos_while_loading(symbol)) {
        return no_symbol(object, name, "its position changes while the module is being loaded");
      }
      candidates.push_back(address_in(*in, symbol));
    }
  }
  if (position == 0 && candidates.size() != 1) {
    return no_symbol(
        object, name,
        fmt::format("livepatch wants one symbol of that name and finds {}", candidates.size()));
  }
  if (position > candidates.size()) {
    return no_symbol(object, name,
                     fmt::format("livepatch wants number {} of that name, and there are {}",
                                 position, candidates.size()));
  }
  return candidates[position == 0 ? 0 : position - 1];
}

Result<std::uint64_t> Running::address(const std::string& object, RunPlace place) {
  if (object == "vmlinux") {
    return place.value;
  }
  Module* in = TRY(module(object));
  if (place.section >= in->bases.size() || in->bases[place.section] == 0) {
    return no_symbol(object, fmt::format("section {}", place.section),
                     "the module has no such section in memory");
  }
  return in->bases[place.section] + place.value;
}

Result<std::optional<std::uint64_t>> Running::own(const std::string& object, std::string_view name,
                                                  bool global) {
  std::vector<std::uint64_t> found;
  if (object == "vmlinux") {
    for (std::uint32_t index : image_.symbols().find(name)) {
      const kernel::RunSymbol& symbol = image_.symbols().all()[index];
      if (symbol.is_global() == global) {
        found.push_back(symbol.address);
      }
    }
  } else {
    Module* in = TRY(module(object));
    if (auto it = in->by_name.find(name); it != in->by_name.end()) {
      for (std::uint32_t symbol : it->second) {
        if ((in->image->elf().symbols()[symbol].binding != STB_LOCAL) == global) {
          found.push_back(address_in(*in, symbol));
        }
      }
    }
  }
  return found.size() == 1 ? std::optional(found[0]) : std::nullopt;
}

Result<std::optional<Running::Global>> Running::global(const std::string& object,
                                                       std::string_view name) {
  const auto address = TRY(own(object, name, true));
  if (!address) {
    return std::nullopt;
  }
  Global out{.address = *address, .weak = false};
  if (object == "vmlinux") {
    for (std::uint32_t index : image_.symbols().find(name)) {
      const char type = image_.symbols().all()[index].type;
      out.weak = out.weak || type == 'W' || type == 'V';
    }
    return out;
  }
  Module* in = TRY(module(object));
  for (std::uint32_t symbol : in->by_name.find(name)->second) {
    out.weak = out.weak || in->image->elf().symbols()[symbol].binding == STB_WEAK;
  }
  return out;
}

// A module's linker takes what the module itself makes global, before the loader looks for exports;
// beyond those a module reaches nothing.
Result<std::optional<std::uint64_t>> Running::undefined(const std::string& object,
                                                        std::string_view name) {
  if (object != "vmlinux") {
    Module* in = TRY(module(object));
    auto it = in->by_name.find(name);
    for (std::uint32_t symbol :
         it == in->by_name.end() ? std::vector<std::uint32_t>{} : it->second) {
      if (in->image->elf().symbols()[symbol].binding != STB_LOCAL) {
        return address_in(*in, symbol);
      }
    }
  }
  if (const kernel::ImageExport* found = exported(name)) {
    return found->address;
  }
  if (object == "vmlinux") {
    return own(object, name, true);
  }
  const kernel::Export* found = symvers_.find(name);
  return found == nullptr ? std::optional<std::uint64_t>{}
                          : TRY(own(std::string(found->module), name, true));
}

std::string Running::describe(std::uint64_t address) const {
  for (const auto& [name, module] : modules_) {
    for (std::uint32_t symbol : module->image->core_symbols()) {
      if (address_in(*module, symbol) == address) {
        return fmt::format("{}:{}", name, module->image->elf().symbols()[symbol].name);
      }
    }
  }
  const std::vector<std::uint32_t> found = image_.symbols().at(address);
  return found.empty() ? fmt::format("{:#x}", address)
                       : std::string(image_.symbols().all()[found[0]].name);
}

Result<std::string> Running::build_id(const std::string& object) {
  if (object == "vmlinux") {
    return image_.build_id();
  }
  Module* in = TRY(module(object));
  return in->image->build_id();
}

}  // namespace suture::prove
