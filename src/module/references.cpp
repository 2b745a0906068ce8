// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/references.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::module {

namespace {

using diff::Piece;
using diff::Reference;

// An address that may outlive the patch, or be compared with one that came from elsewhere, is the
// original function's. Calls, and the tables' own view of the code, mean the new one.
bool means_original(const References::Holder& holder, const Reference& reference) {
  const LinkInput* input = holder.source.input;
  auto target = static_cast<std::size_t>(reference.target_piece);
  return input != nullptr && !holder.in_table && !reference.is_branch &&
         reference.target_piece >= 0 && reference.target_offset == 0 &&
         (input->diff->fate[target] == diff::Fate::changed ||
          input->diff->fate[target] == diff::Fate::moved);
}

// The field lies in code that the loader may have put other code in the place of.
bool is_replaceable(const References::Holder& holder, const Reference& reference) {
  const diff::PieceGraph& graph = *holder.source.graph;
  const ByteView code = graph.bytes(graph.piece(holder.piece));
  for (const diff::TableEntry& entry : holder.source.tables->of(holder.piece)) {
    const elf::Section& section = graph.object().sections()[entry.section];
    auto table = std::ranges::find(graph.arch().tables(), std::string_view(section.name),
                                   &elf::TableLayout::section);
    auto key = std::ranges::find(entry.references, table->key_offset, &Reference::offset);
    const auto start =
        std::min<std::uint64_t>(static_cast<std::uint64_t>(key->target_offset), code.size());
    const std::uint64_t size = graph.arch().replaceable(
        *table, section.data.subspan(entry.offset, entry.size), code.subspan(start));
    if (reference.offset >= start && reference.offset < start + size) {
      return true;
    }
  }
  return false;
}

std::string_view symbol_name(const Source& source, const Reference& reference) {
  return source.graph->object().symbols()[reference.symbol].name;
}

}  // namespace

Status References::write(const Holder& holder, const Reference& reference) {
  if (reference.type == 0) {
    return fail(Code::special_section, std::string(holder.source.graph->piece(holder.piece).name),
                "it jumps to another function by a distance of one byte, and nothing that a "
                "relocation could write is within that reach",
                "leave the function as it is");
  }
  Place field{holder.base.section, holder.base.offset + reference.offset};
  // The loader takes the section for one that stays on disk, and leaves its relocations out
  // (kernel/module/main.c, layout_and_allocate() and apply_relocations()).
  if (assembly_.name(field.section) == ".data..percpu") {
    return fail(Code::special_section, std::string(holder.source.graph->piece(holder.piece).name),
                "its first value holds an address, which the loader does not write into per-CPU "
                "data of modules: it would be null",
                "set the address at run time, in a pre_patch callback");
  }
  std::int64_t addend = reference.target_offset - reference.bias;
  if (reference.synthetic) {
    // The loader insists that a relocated field is zero.
    write_le<std::uint32_t>(assembly_.data(field.section), field.offset, 0);
  }
  if (auto target = inside(holder, reference)) {
    assembly_.relocate(field, reference.type, *target, addend);
    return {};
  }
  Binding binding = TRY(bind(holder, reference));
  TRY(check_address(holder, reference, binding));
  TRY(check_early_reader(holder, field, binding));
  if (!binding.exported && (core_exports_ != nullptr || binding.is_late())) {
    TRY(check_loader(holder, reference, field, binding));
  }
  const LinkInput* input = holder.source.input;
  assembly_.relocate(field, reference.type, binding, addend,
                     input == nullptr ? "vmlinux" : input->binder->object());
  return {};
}

// The place in this module that is meant, if it is one.
std::optional<Place> References::inside(const Holder& holder, const Reference& reference) const {
  const Source& source = holder.source;
  if (source.input == nullptr && reference.target_piece >= 0) {
    return source.places[static_cast<std::size_t>(reference.target_piece)];
  }
  if (reference.target_piece < 0 && symbol_name(source, reference) == "suture_patch") {
    return placing_.global("suture_patch");
  }
  auto taken = source.input == nullptr ? std::nullopt : resolver_.taken(*source.input, reference);
  if (!taken || means_original(holder, reference)) {
    return std::nullopt;
  }
  return placing_.sources()[taken->file].places[static_cast<std::size_t>(taken->piece)];
}

// What stays in the kernel, and how it is reached.
Result<Binding> References::bind(const Holder& holder, const Reference& reference) const {
  if (reference.target_piece < 0) {
    if (auto binding = of_core(symbol_name(holder.source, reference))) {
      return std::move(*binding);
    }
  }
  if (holder.source.input == nullptr) {
    return bind_glue(holder.source, reference);
  }
  return resolver_.outside(*holder.source.input, holder.piece, reference);
}

// What Suture's core exports to patches.
std::optional<Binding> References::of_core(std::string_view name) const {
  const kernel::Export* entry = core_exports_ == nullptr ? nullptr : core_exports_->find(name);
  if (entry == nullptr) {
    return std::nullopt;
  }
  return Binding{.object = std::string(entry->module),
                 .name = std::string(name),
                 .exported = true,
                 .crc = entry->crc,
                 .name_space = std::string(entry->name_space)};
}

// The glue reaches vmlinux by exports only.
Result<Binding> References::bind_glue(const Source& glue, const Reference& reference) const {
  std::string_view name = symbol_name(glue, reference);
  const kernel::Export* entry = symvers_.find(name);
  if (entry == nullptr || entry->module != "vmlinux") {
    return fail(name == "klp_enable_patch" ? Code::no_livepatch : Code::symbol_unresolved,
                std::string(name), "the kernel does not export it",
                "use a kernel that is configured with CONFIG_LIVEPATCH");
  }
  return Binding{.object = "vmlinux",
                 .name = std::string(name),
                 .exported = true,
                 .crc = entry->crc,
                 .name_space = std::string(entry->name_space)};
}

// Tables about the code name places in it, and nobody calls those.
Status References::check_address(const Holder& holder, const Reference& reference,
                                 const Binding& binding) {
  if (!binding.sealed || reference.is_branch || reference.target_offset != 0 || holder.in_table) {
    return {};
  }
  const Piece& piece = holder.source.graph->piece(holder.piece);
  return fail(
      Code::symbol_unresolved,
      fmt::format("{}: {}", holder.source.input->source,
                  piece.name.empty() ? holder.source.graph->section_of(piece).name : piece.name),
      fmt::format("it takes the address of {}, which the running kernel only calls by name: "
                  "a kernel with IBT forbids calls by the address of such a function, and "
                  "one would stop the machine",
                  binding.name),
      "call it by name, or give the address of a new function of the patch that calls it");
}

// Static branches and static calls do without their entries (late_keys.h); nothing else that the
// loader reads when it loads this module can.
Status References::check_early_reader(const Holder& holder, Place field,
                                      const Binding& binding) const {
  if (!binding.is_late()) {
    return {};
  }
  const std::string& section = assembly_.name(field.section);
  if (holder.in_table || section.starts_with(".altinstr")) {
    const Piece& piece = holder.source.graph->piece(holder.piece);
    return fail(Code::module_static_key, piece.name.empty() ? section : std::string(piece.name),
                fmt::format("its entry in {} refers to {} of the module {}, and the kernel reads "
                            "that table before it can bind the symbol",
                            section, binding.name, binding.object),
                "do without it in the changed function");
  }
  return {};
}

// Fields that are bound late, and all that Suture's core binds, are written when the loader has
// placed and rewritten code, copied per-CPU data and read most tables; of what Suture's core binds
// at once, only static keys and calls are looked at after that.
Status References::check_loader(const Holder& holder, const Reference& reference, Place field,
                                const Binding& binding) const {
  const std::string& section = assembly_.name(field.section);
  const Piece& piece = holder.source.graph->piece(holder.piece);
  auto refuse = [&](std::string_view why) {
    return fail(Code::special_section, piece.name.empty() ? section : std::string(piece.name),
                fmt::format("its reference to {} in {} can only be bound after {}", binding.name,
                            section, why),
                binding.is_late() ? "do without it in the changed function"
                                  : "build it for the kernel's own livepatch (--for livepatch), or "
                                    "do without it in the changed function");
  };
  const elf::Arch& arch = holder.source.graph->arch();
  if (holder.in_table && std::ranges::find(arch.key_tables(), section, &elf::KeyTable::section) ==
                             arch.key_tables().end()) {
    return refuse("the kernel has read that table");
  }
  if (section == ".altinstr_replacement") {
    return refuse("the kernel has put that code in its place");
  }
  if (section == ".data..percpu") {
    return refuse("the kernel has copied it for each CPU");
  }
  if (section.starts_with(".init") || section.starts_with(".exit") ||
      section == ".gnu.linkonce.this_module") {
    return refuse("the kernel has read it");
  }
  if (!holder.in_table && is_replaceable(holder, reference)) {
    return refuse("the kernel may have put other code in the place of that instruction");
  }
  return {};
}

}  // namespace suture::module
