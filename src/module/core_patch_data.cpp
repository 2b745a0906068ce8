// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: Suture's core needs to know more of a patch than livepatch does: which bytes the old and
// the new functions are, and what it has to bind itself, since no section of the module is special
// to the loader.
//
// Method: every structure of kmod/include/suture_patch.h is written as data. What the core may
// write to (the patch, its objects and states) lies in .data.suture_patch; symbols, functions and
// relocations lie in sections of their own that are read only. A symbol is written once, however
// many name it.
//
// Invariants: vmlinux comes first among the objects. An entry thunk has rows for unwinding (ORC)
// where its function has: they say what is true at each of its instructions, and the last is
// followed by a row that says nothing is known.
#include <tuple>

#include "module/data_writer.h"
#include "module/patch_data.h"

namespace suture::module {

namespace {

constexpr const char* vmlinux = "vmlinux";

class Writer {
 public:
  Writer(const Glue& glue, const elf::Arch& arch, Assembly& assembly)
      : glue_(glue), arch_(arch), assembly_(assembly), out_(glue, arch, assembly) {}

  void write(const PatchContent& content, Place patch, Place module) {
    out_.set<std::uint32_t>(member(patch, "suture_patch.abi"),
                            static_cast<std::uint32_t>(glue_.constant("suture_patch_abi")));
    out_.set<std::uint32_t>(member(patch, "suture_patch.replace"), content.replace ? 1 : 0);
    out_.point(member(patch, "suture_patch.mod"), module);
    out_.set<std::uint64_t>(member(patch, "suture_patch.image_text"), content.image_text);
    if (!content.image_build_id.empty()) {
      out_.point_at_string(member(patch, "suture_patch.image_build_id"), content.image_build_id);
    }
    write_relocations(patch, "suture_patch", vmlinux);
    write_objects(content.objects, patch);
    write_states(content.states, patch);
    mark_end_of_thunks();
  }

 private:
  Place member(Place base, const std::string& name) const { return out_.member(base, name); }

  // An array, and how many it has.
  void point_at_array(Place owner, const std::string& pointer, const std::string& number,
                      Place array, std::uint64_t count) {
    out_.point(member(owner, pointer), array);
    out_.set<std::uint64_t>(member(owner, number), count);
  }

  Place symbol(const Binding& binding) {
    auto [it, fresh] =
        symbols_.try_emplace(std::tuple(binding.object, binding.name, binding.sympos));
    if (fresh) {
      const Place at = out_.reserve_constant(".rodata.suture_symbols", "suture_symbol", 1);
      it->second = at;
      if (binding.object != vmlinux) {
        out_.point_at_string(member(at, "suture_symbol.object"), binding.object);
      }
      out_.point_at_string(member(at, "suture_symbol.name"), binding.name);
      out_.set<std::uint64_t>(member(at, "suture_symbol.sympos"), binding.sympos);
      out_.set<std::uint64_t>(member(at, "suture_symbol.address"), binding.address);
    }
    return it->second;
  }

  void write_relocations(Place owner, const std::string& type, const std::string& object) {
    std::vector<const Assembly::CoreField*> fields;
    for (const Assembly::CoreField& field : assembly_.core_fields()) {
      if (field.object == object) {
        fields.push_back(&field);
      }
    }
    if (fields.empty()) {
      return;
    }
    Place at =
        out_.reserve_constant(".rodata.suture_relocations", "suture_relocation", fields.size());
    point_at_array(owner, type + ".relocations", type + ".nr_relocations", at, fields.size());
    for (const Assembly::CoreField* field : fields) {
      out_.point(member(at, "suture_relocation.place"), field->field);
      out_.point(member(at, "suture_relocation.symbol"), symbol(field->target));
      out_.set<std::int64_t>(member(at, "suture_relocation.addend"), field->addend);
      out_.set<std::uint32_t>(member(at, "suture_relocation.type"), field->type);
      at = out_.next(at, "suture_relocation");
    }
  }

  void write_objects(std::map<std::string, ObjectContent> objects, Place patch) {
    // What is only bound with an object needs it to be there, too.
    for (const Assembly::CoreField& field : assembly_.core_fields()) {
      if (field.object != vmlinux) {
        objects.try_emplace(field.object);
      }
    }
    Place at = out_.reserve("suture_object", objects.size());
    point_at_array(patch, "suture_patch.objects", "suture_patch.nr_objects", at, objects.size());
    auto first = objects.extract(vmlinux);
    if (!first.empty()) {
      write_object(vmlinux, first.mapped(), at);
      at = out_.next(at, "suture_object");
    }
    for (const auto& [name, content] : objects) {
      write_object(name, content, at);
      at = out_.next(at, "suture_object");
    }
  }

  void write_object(const std::string& name, const ObjectContent& content, Place at) {
    if (name != vmlinux) {
      out_.point_at_string(member(at, "suture_object.name"), name);
      write_relocations(at, "suture_object", name);
    }
    for (const auto& [kind, callback] : content.callbacks) {
      out_.point(member(at, "suture_object.callbacks." + kind), callback);
    }
    if (!content.redirects.empty()) {
      write_functions(content.redirects, at);
    }
  }

  void write_functions(const std::vector<Redirect>& redirects, Place object) {
    Place at = out_.reserve_constant(".rodata.suture_funcs", "suture_func", redirects.size());
    point_at_array(object, "suture_object.funcs", "suture_object.nr_funcs", at, redirects.size());
    for (const Redirect& redirect : redirects) {
      write_function(redirect, at);
      at = out_.next(at, "suture_func");
    }
  }

  void write_function(const Redirect& redirect, Place at) {
    write_old(redirect.old, at, "suture_func.old");
    write_new(redirect.now, at, "suture_func.new_func", "suture_func.new_size");
    if (redirect.old_cold) {
      write_old(*redirect.old_cold, at, "suture_func.old_cold");
    }
    if (redirect.now_cold) {
      write_new(*redirect.now_cold, at, "suture_func.new_cold", "suture_func.new_cold_size");
    }
    out_.point(member(at, "suture_func.entry"), write_thunk(redirect));
  }

  void write_old(const Binding& old, Place at, const std::string& name) {
    out_.point(member(at, name), symbol(old));
    out_.set<std::uint64_t>(member(at, name + "_size"), old.size);
  }

  void write_new(const NewCode& code, Place at, const std::string& name, const std::string& size) {
    out_.point(member(at, name), code.place);
    out_.set<std::uint64_t>(member(at, size), code.size);
  }

  Place write_thunk(const Redirect& redirect) {
    constexpr std::uint64_t align = 16;
    const elf::EntryThunk thunk = arch_.entry_thunk();
    const std::int32_t section =
        assembly_.section(".text.suture_entry", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, align);
    const Place at = assembly_.append(section, thunk.code, thunk.code.size(), align);
    assembly_.add_symbol("suture_entry_" + redirect.old.name, at, thunk.code.size(), STT_FUNC);
    assembly_.relocate(Place{section, at.offset + thunk.field}, arch_.pc_relative32(),
                       redirect.now.place, -std::int64_t{thunk.bias});
    if (redirect.has_rows && !glue_.thunk_rows.empty()) {
      const std::size_t size = glue_.thunk_rows.size() / 2;
      const ByteView rows(glue_.thunk_rows);
      add_row(at, 0, rows.first(size));
      add_row(at, thunk.dropped, rows.last(size));
      end_of_thunks_ = Place{section, at.offset + thunk.code.size()};
    }
    return at;
  }

  void add_row(Place place, std::uint64_t offset, ByteView row) {
    const std::int32_t rows = assembly_.section(".orc_unwind", SHT_PROGBITS, SHF_ALLOC, 1);
    const std::int32_t places = assembly_.section(".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 4);
    assembly_.append(rows, row, row.size(), 1);
    assembly_.relocate(assembly_.append(places, {}, 4, 4), arch_.pc_relative32(), place,
                       static_cast<std::int64_t>(offset));
  }

  void mark_end_of_thunks() {
    if (end_of_thunks_.section >= 0) {
      add_row(end_of_thunks_, 0, Bytes(glue_.thunk_rows.size() / 2, 0));
    }
  }

  void write_states(const std::vector<SystemState>& states, Place patch) {
    if (states.empty()) {
      return;
    }
    Place at = out_.reserve("suture_system_state", states.size());
    point_at_array(patch, "suture_patch.states", "suture_patch.nr_states", at, states.size());
    for (const SystemState& state : states) {
      out_.set<std::uint64_t>(member(at, "suture_system_state.id"), state.id);
      out_.set<std::uint32_t>(member(at, "suture_system_state.version"), state.version);
      at = out_.next(at, "suture_system_state");
    }
  }

  const Glue& glue_;
  const elf::Arch& arch_;
  Assembly& assembly_;
  DataWriter out_;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, Place> symbols_;
  Place end_of_thunks_;
};

}  // namespace

void write_suture_patch(const PatchContent& content, Place patch, const Glue& glue,
                        const elf::Arch& arch, const Placing& placing, Assembly& assembly) {
  Writer(glue, arch, assembly).write(content, patch, placing.global("__this_module"));
}

}  // namespace suture::module
