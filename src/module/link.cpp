// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the chosen pieces of several objects, and the tables about them, must become one module
// that the kernel's loader and a core accept, and in which every field points where the patched
// source means.
//
// Method: place every chosen piece in an output section of its input section's name; then write
// each reference again, in one of three ways. To a piece that was placed: a plain relocation. To
// something that the kernel (or Suture's core) exports: by name and CRC. To anything else of the
// kernel: by a livepatch symbol, or by a record for Suture's core; either core looks it up by
// object, name and position. Table entries follow the piece that they describe. The patch itself is
// written as data, in the layouts that the glue states.
//
// Invariants: the address of a replaced function, taken rather than called, is always that of the
// original, so comparisons of function pointers keep their meaning, and nothing outside holds a
// pointer to it in a module that may be unloaded. Relocations that a core applies late (to
// symbols of modules; Suture's core also those to vmlinux) never touch what the loader reads
// before; code does without the entries of static keys and calls that would need them
// (late_keys.h). A module that others may call into after its patch is off (escapes.h) has no exit
// function: the kernel never frees such a one.
#include "module/link.h"

#include <fmt/format.h>

#include <algorithm>

#include "module/code_tables.h"
#include "module/escapes.h"
#include "module/identity.h"
#include "module/late_keys.h"
#include "module/patch_data.h"
#include "module/references.h"

namespace suture::module {

namespace {

using diff::Fate;
using diff::Piece;
using diff::PieceKind;

class Linker {
 public:
  Linker(const LinkTarget& target, const elf::Arch& arch, Metadata metadata)
      : target_(target),
        glue_(target.glue),
        arch_(arch),
        metadata_(std::move(metadata)),
        assembly_(glue_.object.machine(), metadata_.core),
        placing_(assembly_) {}

  Result<Linked> run(const std::vector<LinkInput>& inputs) {
    glue_graph_ = TRY(diff::PieceGraph::build(glue_.object, arch_));
    glue_tables_ = TRY(diff::CodeTables::build(glue_graph_, glue_.constants));
    const Resolver resolver(inputs);
    const LateKeys keys(resolver);
    for (const LinkInput& input : inputs) {
      TRY(placing_.add_input(input, keys));
    }
    TRY(check_per_cpu_data());
    metadata_.pinned = find_escapes(inputs);
    placing_.add_glue(glue_graph_, glue_tables_, metadata_.pinned.empty());
    for (const Source& source : placing_.sources()) {
      TRY(collect_functions(source, resolver));
      TRY(collect_callbacks(source));
    }
    const Place patch = reserve_patch(metadata_.core, glue_, placing_, assembly_);
    for (const Source& source : placing_.sources()) {
      TRY(write_source(source, resolver));
    }
    write_patch(patch);
    write_identity(metadata_, glue_, target_.symvers, placing_, assembly_);
    metadata_.core_symbols = assembly_.core_symbols();
    for (const auto& [name, binding] : assembly_.imports()) {
      metadata_.imports.push_back(name);
    }
    Bytes bytes = TRY(assembly_.finish());
    return Linked{std::move(bytes), std::move(metadata_)};
  }

 private:
  // The loader takes it from a reserve that is as large in every kernel (PERCPU_MODULE_RESERVE).
  Status check_per_cpu_data() const {
    constexpr std::uint64_t reserve = 8192;
    const std::uint64_t size = assembly_.size(".data..percpu");
    if (size <= reserve) {
      return {};
    }
    return fail(
        Code::special_section, ".data..percpu",
        fmt::format("the new per-CPU variables take {} bytes for each CPU, and the kernel has "
                    "{} for those of all modules together",
                    size, reserve),
        "allocate them when they are first used (alloc_percpu)");
  }

  PatchedObject& object_entry(const LinkInput& input) {
    const std::string& name = input.binder->object();
    auto it = std::ranges::find(metadata_.objects, name, &PatchedObject::name);
    if (it != metadata_.objects.end()) {
      return *it;
    }
    return metadata_.objects.emplace_back(PatchedObject{.name = name, .build_id = input.build_id});
  }

  // What is redirected, and what the metadata says about it.
  Status collect_functions(const Source& source, const Resolver& resolver) {
    if (source.input == nullptr) {
      return {};
    }
    const LinkInput& input = *source.input;
    for (std::size_t i = 0; i < source.places.size(); ++i) {
      const Piece& piece = source.graph->pieces()[i];
      if (!source.taken(i) || piece.kind != PieceKind::function) {
        continue;
      }
      PatchedObject& object = object_entry(input);
      if (input.diff->fate[i] == Fate::fresh) {
        if (piece.name.find(".cold") == std::string_view::npos) {
          object.functions.push_back(PatchedFunction{
              .name = std::string(piece.name), .source = input.source, .is_new = true});
        }
        continue;
      }
      Redirect redirect = TRY(redirect_of(source, i, resolver));
      object.functions.push_back(PatchedFunction{
          .name = redirect.old.name, .sympos = redirect.old.sympos, .source = input.source});
      content_.objects[object.name].redirects.push_back(std::move(redirect));
    }
    return {};
  }

  static Result<Redirect> redirect_of(const Source& source, std::size_t piece,
                                      const Resolver& resolver) {
    const auto index = static_cast<std::int32_t>(piece);
    const LinkInput& input = *source.input;
    const Resolver::Running running = resolver.running(input, index);
    const std::int32_t before = running.piece;
    Redirect out{.old = before < 0 ? TRY(input.binder->global(source.graph->piece(index).name))
                                   : TRY(old_code(*running.input, before)),
                 .old_cold = {},
                 .now = {source.places[piece], source.size(piece)},
                 .now_cold = {},
                 .has_rows = !source.tables->orc(index).empty()};
    if (before >= 0) {
      const diff::PieceGraph& pre = running.input->binder->pre();
      if (auto cold = cold_part(pre, pre.piece(before))) {
        out.old_cold = TRY(old_code(*running.input, *cold));
      }
    }
    if (auto cold = cold_part(*source.graph, source.graph->piece(index))) {
      const auto slot = static_cast<std::size_t>(*cold);
      if (source.taken(slot)) {
        out.now_cold = NewCode{source.places[slot], source.size(slot)};
      }
    }
    return out;
  }

  // As the running kernel has it. A symbol inside of it would make it look shorter than what was
  // compiled, and the compiled one may be a little longer or shorter: the more counts.
  static Result<Binding> old_code(const LinkInput& input, std::int32_t pre_piece) {
    Binding out = TRY(input.binder->run_symbol(pre_piece));
    out.size = std::max(out.size, input.binder->pre().piece(pre_piece).size);
    return out;
  }

  // What the compiler split off the function.
  static std::optional<std::int32_t> cold_part(const diff::PieceGraph& graph,
                                               const Piece& function) {
    std::vector<std::string> names{fmt::format("{}.cold", function.name)};
    for (std::uint32_t alias : function.aliases) {
      names.push_back(fmt::format("{}.cold", graph.object().symbols()[alias].name));
    }
    const auto& pieces = graph.pieces();
    auto it = std::ranges::find_if(pieces, [&](const Piece& piece) {
      return piece.kind == PieceKind::function &&
             std::ranges::find(names, piece.name) != names.end();
    });
    return it == pieces.end() ? std::nullopt
                              : std::optional(static_cast<std::int32_t>(it - pieces.begin()));
  }

  void write_patch(Place patch) {
    content_.replace = metadata_.replace;
    content_.states = metadata_.states;
    content_.image_text = target_.image_text;
    content_.image_build_id = target_.image_build_id;
    if (metadata_.core == Core::suture) {
      write_suture_patch(content_, patch, glue_, arch_, placing_, assembly_);
    } else {
      write_klp_patch(content_, patch, glue_, arch_, placing_, assembly_);
    }
  }

  Status collect_callbacks(const Source& source) {
    if (source.input == nullptr) {
      return {};
    }
    const LinkInput& input = *source.input;
    const std::string& object = input.binder->object();
    for (const diff::Directives::Callback& callback : input.diff->directives.callbacks) {
      const std::string kind(callback.kind);
      const auto slot = static_cast<std::size_t>(callback.function);
      if (!content_.objects[object].callbacks.emplace(kind, source.places[slot]).second) {
        return fail(Code::callback_conflict, input.source,
                    fmt::format("another file gives {} a {} callback, too, and it can have one",
                                object, kind),
                    "call both functions from one callback");
      }
      metadata_.callbacks.push_back(
          Callback{.object = object,
                   .kind = kind,
                   .function = std::string(source.graph->piece(callback.function).name),
                   .source = input.source});
    }
    return {};
  }

  // The glue's exit function, of a module that stays.
  bool is_left_out(const Source& source, const diff::Reference& reference) const {
    return source.input == nullptr && !metadata_.pinned.empty() && reference.target_piece >= 0 &&
           !source.taken(static_cast<std::size_t>(reference.target_piece));
  }

  Status write_source(const Source& source, const Resolver& resolver) {
    References references(assembly_, placing_, resolver, target_);
    auto count = static_cast<std::int32_t>(source.places.size());
    for (std::int32_t i = 0; i < count; ++i) {
      auto slot = static_cast<std::size_t>(i);
      if (!source.taken(slot)) {
        continue;
      }
      const References::Holder holder{source, i, source.places[slot]};
      const LateSites& late = source.late[slot];
      for (const diff::Reference& reference : source.graph->piece(i).references) {
        if (!late.overwrites(reference, arch_) && !is_left_out(source, reference)) {
          TRY(references.write(holder, reference));
        }
      }
      for (const LateBranch& branch : late.branches) {
        TRY(references.write(holder, branch.key));
        TRY(references.write(holder, branch.target));
      }
      for (const NearJump& jump : late.jumps) {
        TRY(references.write(holder, jump.target));
      }
      TRY(write_tables(source, i, arch_, assembly_, references));
    }
    for (std::int32_t i = 0; i < count; ++i) {
      if (source.taken(static_cast<std::size_t>(i))) {
        write_orc(source, i, arch_, assembly_);
      }
    }
    return {};
  }

  const LinkTarget& target_;
  const Glue& glue_;
  const elf::Arch& arch_;
  Metadata metadata_;
  Assembly assembly_;
  Placing placing_;
  diff::PieceGraph glue_graph_;
  diff::CodeTables glue_tables_;
  PatchContent content_;
};

}  // namespace

Result<Linked> link(const std::vector<LinkInput>& inputs, const LinkTarget& target,
                    Metadata metadata) {
  const elf::Arch* arch = elf::arch_of(target.glue.object.machine());
  if (arch == nullptr) {
    return fail(Code::bad_elf, "the glue", "its architecture is not supported",
                "use a kernel for x86-64");
  }
  return Linker(target, *arch, std::move(metadata)).run(inputs);
}

}  // namespace suture::module
