// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/references.h"

#include <fmt/format.h>

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
         reference.target_offset == 0 && input->diff->fate[target] == diff::Fate::changed;
}

std::string_view symbol_name(const Source& source, const Reference& reference) {
  return source.graph->object().symbols()[reference.symbol].name;
}

}  // namespace

Result<Binding> bind_outside(const LinkInput& input, std::int32_t piece,
                             const Reference& reference) {
  const diff::PieceGraph& graph = input.post->graph;
  if (reference.target_piece < 0) {
    return input.binder->undefined(graph.object().symbols()[reference.symbol].name);
  }
  auto target = static_cast<std::size_t>(reference.target_piece);
  std::int32_t before = input.diff->correlation.pre_of[target];
  if (before >= 0) {
    return input.binder->piece(before);
  }
  const Piece& meant = graph.piece(reference.target_piece);
  return fail(
      Code::init_only, std::string(graph.piece(piece).name),
      fmt::format("it uses {}, which is new and only exists while the kernel boots or the "
                  "module loads",
                  meant.name.empty() ? graph.section_of(meant).name : std::string(meant.name)),
      "move what the run-time code needs out of the init section");
}

Status References::write(const Holder& holder, const Reference& reference) {
  if (reference.type == 0) {
    return fail(Code::special_section, std::string(holder.source.graph->piece(holder.piece).name),
                "it jumps to another function by a one-byte distance", "report this with the diff");
  }
  Place field{holder.base.section, holder.base.offset + reference.offset};
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
  TRY(check_early_reader(holder, field, binding));
  const LinkInput* input = holder.source.input;
  assembly_.relocate(field, reference.type, binding, addend,
                     input == nullptr ? "vmlinux" : input->binder->object());
  return {};
}

// The place in this module that is meant, if it is one.
std::optional<Place> References::inside(const Holder& holder, const Reference& reference) const {
  const Source& source = holder.source;
  if (reference.target_piece >= 0) {
    auto target = static_cast<std::size_t>(reference.target_piece);
    bool here = source.taken(target) && !means_original(holder, reference);
    return here ? std::optional(source.places[target]) : std::nullopt;
  }
  std::string_view name = symbol_name(source, reference);
  if (name == "suture_patch") {
    return placing_.global(name);
  }
  return source.input != nullptr ? placing_.fresh_global(name) : std::nullopt;
}

// What stays in the kernel, and how it is reached.
Result<Binding> References::bind(const Holder& holder, const Reference& reference) const {
  if (holder.source.input == nullptr) {
    return bind_glue(holder.source, reference);
  }
  return bind_outside(*holder.source.input, holder.piece, reference);
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

}  // namespace suture::module
