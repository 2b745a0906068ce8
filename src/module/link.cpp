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
// symbols of modules) never touch a table that the loader reads early.
#include "module/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "module/assembly.h"

namespace suture::module {

namespace {

using diff::Fate;
using diff::Piece;
using diff::PieceKind;
using diff::Reference;

class Linker {
 public:
  Linker(const std::vector<LinkInput>& inputs, const Glue& glue, const kernel::Symvers& symvers,
         Metadata metadata)
      : inputs_(inputs),
        glue_(glue),
        symvers_(symvers),
        metadata_(std::move(metadata)),
        assembly_(glue.object.machine()) {}

  Result<Linked> run() {
    const elf::Arch* arch = elf::arch_of(glue_.object.machine());
    if (arch == nullptr) {
      return fail(Code::bad_elf, "patch_glue.o", "its architecture is not supported",
                  "use a kernel for x86-64");
    }
    arch_ = arch;
    glue_graph_ = TRY(diff::PieceGraph::build(glue_.object, *arch));
    glue_tables_ = TRY(diff::CodeTables::build(glue_graph_, glue_.constants));
    place_everything();
    TRY(collect_functions());
    write_patch_data();
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      TRY(write_source(i));
    }
    write_identity();
    Linked out;
    metadata_.klp_symbols = assembly_.klp_symbols();
    for (const auto& [name, binding] : assembly_.imports()) {
      metadata_.imports.push_back(name);
    }
    out.metadata = metadata_;
    out.module = TRY(assembly_.finish());
    return out;
  }

 private:
  // A graph whose pieces are placed: one per input, and the glue, of which everything is taken.
  struct Source {
    const diff::PieceGraph* graph = nullptr;
    const diff::CodeTables* tables = nullptr;
    const LinkInput* input = nullptr;  // null for the glue
    std::vector<Place> places;         // per piece
    bool taken(std::size_t piece) const { return places[piece].section >= 0; }
  };

  struct Redirect {
    std::string name;
    std::uint32_t sympos = 0;
    Place target;
  };

  void place_everything() {
    for (const LinkInput& input : inputs_) {
      Source source{.graph = &input.post->graph, .tables = &input.post->tables, .input = &input};
      place(source, [&](std::size_t piece) { return input.diff->fate[piece] != Fate::out; });
      sources_.push_back(std::move(source));
    }
    Source glue{.graph = &glue_graph_, .tables = &glue_tables_};
    place(glue, [&](std::size_t piece) {
      return !glue_graph_.section_of(glue_graph_.pieces()[piece]).name.starts_with(".suture.");
    });
    sources_.push_back(std::move(glue));
  }

  template <class Wanted>
  void place(Source& source, Wanted wanted) {
    source.places.resize(source.graph->pieces().size());
    for (std::size_t i = 0; i < source.places.size(); ++i) {
      if (!wanted(i)) {
        continue;
      }
      const Piece& piece = source.graph->pieces()[i];
      const elf::Section& from = source.graph->section_of(piece);
      std::uint64_t alignment = from.alignment;
      std::uint64_t start = piece.offset - piece.prefix;
      if (start != 0) {
        alignment = std::min(alignment, start & (~start + 1));
      }
      std::int32_t section =
          assembly_.section(from.name, from.type == SHT_NOBITS ? SHT_NOBITS : SHT_PROGBITS,
                            from.flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR), alignment);
      source.places[i] = assembly_.append(section, with_prefix(*source.graph, piece),
                                          piece.prefix + piece.size, alignment);
      if (piece.prefix != 0) {
        assembly_.add_symbol(fmt::format("{}{}", diff::prefix_symbol, piece.name), source.places[i],
                             piece.prefix, STT_FUNC);
        source.places[i].offset += piece.prefix;
      }
      if (!piece.name.empty()) {
        assembly_.add_symbol(std::string(piece.name), source.places[i], piece.size,
                             piece.kind == PieceKind::function ? STT_FUNC : STT_OBJECT);
      }
      if (piece.global) {
        globals_.emplace(piece.name, source.places[i]);
      }
    }
  }

  static Bytes with_prefix(const diff::PieceGraph& graph, const Piece& piece) {
    ByteView prefix = graph.prefix_bytes(piece);
    ByteView bytes = graph.bytes(piece);
    Bytes out(prefix.begin(), prefix.end());
    out.insert(out.end(), bytes.begin(), bytes.end());
    return out;
  }

  PatchedObject& object_entry(const LinkInput& input) {
    const std::string& name = input.binder->object();
    auto it = std::ranges::find(metadata_.objects, name, &PatchedObject::name);
    if (it != metadata_.objects.end()) {
      return *it;
    }
    return metadata_.objects.emplace_back(PatchedObject{.name = name, .build_id = input.build_id});
  }

  Status collect_functions() {
    for (Source& source : sources_) {
      if (source.input == nullptr) {
        continue;
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
        redirects_[object.name].push_back(Redirect{binding.name, binding.sympos, source.places[i]});
        object.functions.push_back(PatchedFunction{
            .name = binding.name, .sympos = binding.sympos, .source = input.source});
      }
    }
    return {};
  }

  std::uint64_t constant(const char* name) const {
    auto it = glue_.constants.find(std::string_view(name));
    return it == glue_.constants.end() ? 0 : it->second;
  }

  Place put_string(const std::string& text) {
    std::int32_t section = assembly_.section(".rodata.suture_patch", SHT_PROGBITS, SHF_ALLOC, 1);
    Bytes bytes(text.begin(), text.end());
    bytes.push_back(0);
    return assembly_.append(section, bytes, bytes.size(), 1);
  }

  void point(Place field, Place target) {
    assembly_.relocate(field, arch_->absolute64(), target, 0);
  }

  // struct klp_patch, then klp_object[], then each object's klp_func[]; every array ends with
  // zeros.
  void write_patch_data() {
    const std::uint64_t align = 32;
    std::int32_t data =
        assembly_.section(".data.suture_patch", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, align);
    auto reserve = [&](std::uint64_t size) { return assembly_.append(data, {}, size, align); };
    auto member = [](Place base, std::uint64_t offset) {
      return Place{base.section, base.offset + offset};
    };
    Place patch = reserve(constant("klp_patch"));
    Place objects = reserve(constant("klp_object") * (redirects_.size() + 1));
    globals_.emplace("suture_patch", patch);
    point(member(patch, constant("klp_patch.mod")), globals_.at("__this_module"));
    point(member(patch, constant("klp_patch.objs")), objects);
    assembly_.data(data)[patch.offset + constant("klp_patch.replace")] = metadata_.replace ? 1 : 0;
    Place object = objects;
    for (const auto& [name, functions] : redirects_) {
      std::uint64_t step = constant("klp_func");
      Place function = reserve(step * (functions.size() + 1));
      if (name != "vmlinux") {
        point(member(object, constant("klp_object.name")), put_string(name));
      }
      point(member(object, constant("klp_object.funcs")), function);
      for (const Redirect& redirect : functions) {
        point(member(function, constant("klp_func.old_name")), put_string(redirect.name));
        point(member(function, constant("klp_func.new_func")), redirect.target);
        write_le<std::uint64_t>(assembly_.data(data),
                                function.offset + constant("klp_func.old_sympos"), redirect.sympos);
        function.offset += step;
      }
      object.offset += constant("klp_object");
    }
  }

  Status write_source(std::size_t index) {
    Source& source = sources_[index];
    for (std::size_t i = 0; i < source.places.size(); ++i) {
      if (!source.taken(i)) {
        continue;
      }
      for (const Reference& reference : source.graph->pieces()[i].references) {
        TRY(write_reference(source, static_cast<std::int32_t>(i), source.places[i], reference,
                            false));
      }
      TRY(write_tables(source, static_cast<std::int32_t>(i)));
    }
    // The end of each piece of code is marked after all of them are known.
    for (std::size_t i = 0; i < source.places.size(); ++i) {
      if (source.taken(i)) {
        write_orc(source, static_cast<std::int32_t>(i));
      }
    }
    return {};
  }

  // `base` is where the thing that holds the reference was placed.
  Status write_reference(Source& source, std::int32_t owner, Place base, const Reference& reference,
                         bool in_table) {
    const Piece& from = source.graph->piece(owner);
    Place field{base.section, base.offset + reference.offset};
    std::int64_t addend = reference.target_offset - reference.bias;
    if (reference.type == 0) {
      return fail(Code::special_section, std::string(from.name),
                  "it jumps to another function by a one-byte distance",
                  "report this with the diff");
    }
    if (reference.synthetic) {
      // The loader insists that a relocated field is zero.
      write_le<std::uint32_t>(assembly_.data(field.section), field.offset, 0);
    }
    if (reference.target_piece >= 0) {
      auto slot = static_cast<std::size_t>(reference.target_piece);
      if (source.taken(slot) && !means_original(source, reference, in_table)) {
        assembly_.relocate(field, reference.type, source.places[slot], addend);
        return {};
      }
    }
    Binding binding;
    if (source.input == nullptr) {
      binding = TRY(glue_import(source, reference));
    } else if (reference.target_piece >= 0) {
      std::int32_t before =
          source.input->diff->correlation.pre_of[static_cast<std::size_t>(reference.target_piece)];
      if (before < 0) {
        const Piece& target = source.graph->piece(reference.target_piece);
        return fail(Code::init_only, std::string(from.name),
                    fmt::format("it uses {}, which is new and only exists while the kernel boots "
                                "or the module loads",
                                target.name.empty() ? source.graph->section_of(target).name
                                                    : std::string(target.name)),
                    "move what the run-time code needs out of the init section");
      }
      binding = TRY(source.input->binder->piece(before));
    } else {
      std::string_view name = source.graph->object().symbols()[reference.symbol].name;
      auto own = globals_.find(name);
      if (own != globals_.end() && is_fresh_global(name)) {
        assembly_.relocate(field, reference.type, own->second, addend);
        return {};
      }
      binding = TRY(source.input->binder->undefined(name));
    }
    TRY(check_early_reader(source, owner, field, binding, in_table));
    if (binding.name.empty()) {
      assembly_.relocate(field, reference.type, globals_.at("suture_patch"), addend);
      return {};
    }
    assembly_.relocate(field, reference.type, binding, addend,
                       source.input == nullptr ? "vmlinux" : source.input->binder->object());
    return {};
  }

  // An address that may outlive the patch, or be compared with one that came from elsewhere, is the
  // original function's. Calls, and the tables' own view of the code, mean the new one.
  static bool means_original(const Source& source, const Reference& reference, bool in_table) {
    auto slot = static_cast<std::size_t>(reference.target_piece);
    return source.input != nullptr && !in_table && !reference.is_branch &&
           reference.target_offset == 0 && source.input->diff->fate[slot] == Fate::changed;
  }

  // A global that another file of this patch adds.
  bool is_fresh_global(std::string_view name) const {
    for (const Source& source : sources_) {
      if (source.input == nullptr) {
        continue;
      }
      for (std::size_t i = 0; i < source.places.size(); ++i) {
        const Piece& piece = source.graph->pieces()[i];
        if (source.taken(i) && piece.global && piece.name == name) {
          return source.input->diff->correlation.pre_of[i] < 0;
        }
      }
    }
    return false;
  }

  // The glue reaches vmlinux by exports only. An empty name stands for suture_patch itself.
  Result<Binding> glue_import(const Source& source, const Reference& reference) const {
    std::string_view name = source.graph->object().symbols()[reference.symbol].name;
    if (name == "suture_patch") {
      return Binding{};
    }
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

  // Symbols of a module are bound when that module is there, which may be after the loader read
  // this module's jump labels, static calls and alternatives.
  Status check_early_reader(const Source& source, std::int32_t owner, Place field,
                            const Binding& binding, bool in_table) const {
    if (binding.name.empty() || binding.exported || binding.object == "vmlinux") {
      return {};
    }
    const std::string& section = assembly_.name(field.section);
    if (in_table || section.starts_with(".altinstr")) {
      return fail(Code::module_static_key, std::string(source.graph->piece(owner).name),
                  fmt::format("its entry in {} refers to {} of the module {}, which the kernel "
                              "cannot bind in time",
                              section, binding.name, binding.object),
                  "avoid the tracepoint, static key or static call of the module in the changed "
                  "function");
    }
    return {};
  }

  Status write_tables(Source& source, std::int32_t piece) {
    for (const diff::TableEntry& entry : source.tables->of(piece)) {
      const elf::Section& from = source.graph->object().sections()[entry.section];
      const elf::TableLayout* layout = nullptr;
      for (const elf::TableLayout& candidate : arch_->tables()) {
        layout = candidate.section == from.name ? &candidate : layout;
      }
      std::uint64_t whole = entry.size;
      if (layout != nullptr && layout->min_tail != 0) {
        whole = layout->entry_size;  // a tail that was cut off is written whole
      }
      std::int32_t section = assembly_.section(
          from.name, SHT_PROGBITS, from.flags & (SHF_ALLOC | SHF_WRITE), from.alignment);
      Place place =
          assembly_.append(section, from.data.subspan(entry.offset, entry.size), whole, 1);
      for (const Reference& reference : entry.references) {
        TRY(write_reference(source, piece, place, reference, true));
      }
    }
    return {};
  }

  void write_orc(Source& source, std::int32_t index) {
    const auto& rows = source.tables->orc(index);
    if (rows.empty()) {
      return;
    }
    const Piece& piece = source.graph->piece(index);
    Place place = source.places[static_cast<std::size_t>(index)];
    std::int32_t entries = assembly_.section(".orc_unwind", SHT_PROGBITS, SHF_ALLOC, 1);
    std::int32_t addresses = assembly_.section(".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 4);
    auto add = [&](std::uint64_t offset, ByteView row) {
      assembly_.append(entries, row, row.size(), 1);
      Place field = assembly_.append(addresses, {}, 4, 4);
      assembly_.relocate(field, arch_->pc_relative32(), place, static_cast<std::int64_t>(offset));
    };
    for (const diff::OrcRow& row : rows) {
      add(row.offset, row.entry);
    }
    // Past the end nothing is known. Where another piece starts at once, its own first row says so.
    std::uint64_t end = place.offset + piece.size;
    bool followed = std::ranges::any_of(source.places, [&](const Place& other) {
      return other.section == place.section && other.offset == end;
    });
    if (!followed) {
      Bytes unknown(rows[0].entry.size(), 0);
      add(piece.size, unknown);
    }
  }

  // Name, modinfo, symbol versions, build id.
  void write_identity() {
    Place self = globals_.at("__this_module");
    Bytes& bytes = assembly_.data(self.section);
    std::uint64_t room = constant("module_name_len");
    std::uint64_t at = self.offset + constant("module.name");
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), room, std::uint8_t{0});
    std::ranges::copy(metadata_.name, bytes.begin() + static_cast<std::ptrdiff_t>(at));

    std::string info;
    auto add = [&](std::string_view text) {
      info += text;
      info += '\0';
    };
    if (const elf::Section* base = glue_.object.section(".modinfo")) {
      info += as_text(base->data);
      std::size_t vermagic = info.find("vermagic=");
      if (vermagic != std::string::npos) {
        metadata_.vermagic = info.substr(vermagic + 9).c_str();
      }
    }
    add(fmt::format("name={}", metadata_.name));
    add("depends=");
    for (const std::string& name_space : import_spaces()) {
      add(fmt::format("import_ns={}", name_space));
    }
    if (!metadata_.description.empty()) {
      add(fmt::format("description={}", metadata_.description));
    }
    for (const std::string& item : to_modinfo(metadata_)) {
      add(item);
    }
    std::int32_t modinfo = assembly_.section(".modinfo", SHT_PROGBITS, SHF_ALLOC, 1);
    assembly_.append(modinfo, as_bytes(info), info.size(), 1);
    write_versions();
    write_build_id();
  }

  std::set<std::string> import_spaces() const {
    std::set<std::string> out;
    for (const auto& [name, binding] : assembly_.imports()) {
      if (!binding.name_space.empty()) {
        out.insert(binding.name_space);
      }
    }
    return out;
  }

  // struct modversion_info[] (include/linux/module.h); module_layout stands for struct module.
  void write_versions() {
    const kernel::Export* layout = symvers_.find("module_layout");
    if (layout == nullptr) {
      return;  // a kernel without CONFIG_MODVERSIONS
    }
    std::map<std::string, std::uint32_t> versions{{"module_layout", layout->crc}};
    for (const auto& [name, binding] : assembly_.imports()) {
      versions.emplace(name, binding.crc);
    }
    std::int32_t section = assembly_.section("__versions", SHT_PROGBITS, SHF_ALLOC, 32);
    for (const auto& [name, crc] : versions) {
      Bytes entry(constant("modversion_info"), 0);
      write_le<std::uint64_t>(entry, 0, crc);
      std::uint64_t at = constant("modversion_info.name");
      std::copy_n(name.begin(), std::min<std::size_t>(name.size(), entry.size() - at - 1),
                  entry.begin() + static_cast<std::ptrdiff_t>(at));
      assembly_.append(section, entry, entry.size(), 1);
    }
  }

  void write_build_id() {
    metadata_.build_id = assembly_.digest().substr(0, 40);
    Bytes note;
    append_le<std::uint32_t>(note, 4);
    append_le<std::uint32_t>(note, 20);
    append_le<std::uint32_t>(note, NT_GNU_BUILD_ID);
    note.insert(note.end(), {'G', 'N', 'U', 0});
    for (std::size_t i = 0; i < 40; i += 2) {
      note.push_back(
          static_cast<std::uint8_t>(std::stoul(metadata_.build_id.substr(i, 2), nullptr, 16)));
    }
    std::int32_t section = assembly_.section(".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 4);
    assembly_.append(section, note, note.size(), 4);
  }

  const std::vector<LinkInput>& inputs_;
  const Glue& glue_;
  const kernel::Symvers& symvers_;
  Metadata metadata_;
  Assembly assembly_;
  const elf::Arch* arch_ = nullptr;
  diff::PieceGraph glue_graph_;
  diff::CodeTables glue_tables_;
  std::vector<Source> sources_;
  std::map<std::string, Place, std::less<>> globals_;
  std::map<std::string, std::vector<Redirect>> redirects_;
};

}  // namespace

Result<Linked> link(const std::vector<LinkInput>& inputs, const Glue& glue,
                    const kernel::Symvers& symvers, Metadata metadata) {
  return Linker(inputs, glue, symvers, std::move(metadata)).run();
}

}  // namespace suture::module
