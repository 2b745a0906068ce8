// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the chosen pieces of several objects, and the tables about them, must become one module
// that the kernel's loader and its livepatch core accept, and in which every field points where the
// patched source means.
//
// Method: place every chosen piece in an output section of its input section's name; then write
// each reference again, in one of three ways. To a piece that was placed: a plain relocation. To
// something that the kernel exports: by name and CRC. To anything else of the kernel: by a
// livepatch symbol, which the livepatch core looks up by object, name and position. Table entries
// follow the piece that they describe. The patch itself is written as data, in the layouts that the
// glue states.
//
// Invariants: the address of a replaced function, taken rather than called, is always that of the
// original, so nothing outside ever holds a pointer into a module that may be unloaded, and
// comparisons of function pointers keep their meaning. Relocations that livepatch applies late (to
// symbols of modules) never touch a table that the loader reads early; code does without the
// entries that would need them (late_keys.h).
#include "module/link.h"

#include <fmt/format.h>

#include <algorithm>

#include "module/code_tables.h"
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
  Linker(const Glue& glue, const kernel::Symvers& symvers, const elf::Arch& arch, Metadata metadata)
      : glue_(glue),
        symvers_(symvers),
        arch_(arch),
        metadata_(std::move(metadata)),
        assembly_(glue.object.machine()),
        placing_(assembly_) {}

  Result<Linked> run(const std::vector<LinkInput>& inputs) {
    glue_graph_ = TRY(diff::PieceGraph::build(glue_.object, arch_));
    glue_tables_ = TRY(diff::CodeTables::build(glue_graph_, glue_.constants));
    const LateKeys keys(inputs);
    for (const LinkInput& input : inputs) {
      TRY(placing_.add_input(input, keys));
    }
    placing_.add_glue(glue_graph_, glue_tables_);
    for (const Source& source : placing_.sources()) {
      TRY(collect_functions(source));
      TRY(collect_callbacks(source));
    }
    content_.replace = metadata_.replace;
    content_.states = metadata_.states;
    write_patch_data(content_, glue_, arch_, placing_, assembly_);
    for (const Source& source : placing_.sources()) {
      TRY(write_source(source));
    }
    write_identity(metadata_, glue_, symvers_, placing_, assembly_);
    metadata_.klp_symbols = assembly_.klp_symbols();
    for (const auto& [name, binding] : assembly_.imports()) {
      metadata_.imports.push_back(name);
    }
    Bytes bytes = TRY(assembly_.finish());
    return Linked{std::move(bytes), std::move(metadata_)};
  }

 private:
  PatchedObject& object_entry(const LinkInput& input) {
    const std::string& name = input.binder->object();
    auto it = std::ranges::find(metadata_.objects, name, &PatchedObject::name);
    if (it != metadata_.objects.end()) {
      return *it;
    }
    return metadata_.objects.emplace_back(PatchedObject{.name = name, .build_id = input.build_id});
  }

  // What is redirected, and what the metadata says about it.
  Status collect_functions(const Source& source) {
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
      if (input.diff->fate[i] != Fate::changed) {
        if (piece.name.find(".cold") == std::string_view::npos) {
          object.functions.push_back(PatchedFunction{
              .name = std::string(piece.name), .source = input.source, .is_new = true});
        }
        continue;
      }
      Binding binding = TRY(input.binder->run_symbol(input.diff->correlation.pre_of[i]));
      content_.objects[object.name].redirects.push_back(
          Redirect{binding.name, binding.sympos, source.places[i]});
      object.functions.push_back(
          PatchedFunction{.name = binding.name, .sympos = binding.sympos, .source = input.source});
    }
    return {};
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
        return fail(Code::bad_manifest, input.source,
                    fmt::format("another file gives {} a {} callback, too", object, kind),
                    "call both from one callback");
      }
      metadata_.callbacks.push_back(
          Callback{.object = object,
                   .kind = kind,
                   .function = std::string(source.graph->piece(callback.function).name),
                   .source = input.source});
    }
    return {};
  }

  Status write_source(const Source& source) {
    References references(assembly_, placing_, symvers_);
    auto count = static_cast<std::int32_t>(source.places.size());
    for (std::int32_t i = 0; i < count; ++i) {
      auto slot = static_cast<std::size_t>(i);
      if (!source.taken(slot)) {
        continue;
      }
      const References::Holder holder{source, i, source.places[slot]};
      const LateSites& late = source.late[slot];
      for (const diff::Reference& reference : source.graph->piece(i).references) {
        if (!late.overwrites(reference, arch_)) {
          TRY(references.write(holder, reference));
        }
      }
      for (const LateBranch& branch : late.branches) {
        TRY(references.write(holder, branch.key));
        TRY(references.write(holder, branch.target));
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

  const Glue& glue_;
  const kernel::Symvers& symvers_;
  const elf::Arch& arch_;
  Metadata metadata_;
  Assembly assembly_;
  Placing placing_;
  diff::PieceGraph glue_graph_;
  diff::CodeTables glue_tables_;
  PatchContent content_;
};

}  // namespace

Result<Linked> link(const std::vector<LinkInput>& inputs, const Glue& glue,
                    const kernel::Symvers& symvers, Metadata metadata) {
  const elf::Arch* arch = elf::arch_of(glue.object.machine());
  if (arch == nullptr) {
    return fail(Code::bad_elf, "patch_glue.o", "its architecture is not supported",
                "use a kernel for x86-64");
  }
  return Linker(glue, symvers, *arch, std::move(metadata)).run(inputs);
}

}  // namespace suture::module
