// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/patch_data.h"

#include "module/data_writer.h"

namespace suture::module {

namespace {

void write_objects(const std::map<std::string, ObjectContent>& objects, Place at, DataWriter& out) {
  for (const auto& [name, content] : objects) {
    Place function = out.reserve("klp_func", content.redirects.size() + 1);
    if (name != "vmlinux") {
      out.point_at_string(out.member(at, "klp_object.name"), name);
    }
    out.point(out.member(at, "klp_object.funcs"), function);
    for (const auto& [kind, callback] : content.callbacks) {
      out.point(out.member(at, "klp_object.callbacks." + kind), callback);
    }
    for (const Redirect& redirect : content.redirects) {
      out.point_at_string(out.member(function, "klp_func.old_name"), redirect.old.name);
      out.point(out.member(function, "klp_func.new_func"), redirect.now.place);
      out.set<std::uint64_t>(out.member(function, "klp_func.old_sympos"), redirect.old.sympos);
      function = out.next(function, "klp_func");
    }
    at = out.next(at, "klp_object");
  }
}

void write_states(const std::vector<SystemState>& states, Place patch, DataWriter& out) {
  if (states.empty()) {
    return;
  }
  Place at = out.reserve("klp_state", states.size() + 1);
  out.point(out.member(patch, "klp_patch.states"), at);
  for (const SystemState& state : states) {
    out.set<std::uint64_t>(out.member(at, "klp_state.id"), state.id);
    out.set<std::uint32_t>(out.member(at, "klp_state.version"), state.version);
    at = out.next(at, "klp_state");
  }
}

}  // namespace

Place reserve_patch(Core core, const Glue& glue, Placing& placing, Assembly& assembly) {
  const char* type = core == Core::suture ? "suture_patch" : "klp_patch";
  const std::int32_t section =
      assembly.section(".data.suture_patch", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 32);
  const Place patch = assembly.append(section, {}, glue.constant(type), 32);
  placing.add_global("suture_patch", patch);
  // Suture's core finds it by this name.
  assembly.add_symbol("suture_patch", patch, glue.constant(type), STT_OBJECT);
  return patch;
}

// struct klp_patch, then klp_object[], then each object's klp_func[], then klp_state[]; every array
// ends with zeros.
void write_klp_patch(const PatchContent& content, Place patch, const Glue& glue,
                     const elf::Arch& arch, const Placing& placing, Assembly& assembly) {
  DataWriter out(glue, arch, assembly);
  Place objects = out.reserve("klp_object", content.objects.size() + 1);
  out.point(out.member(patch, "klp_patch.mod"), placing.global("__this_module"));
  out.point(out.member(patch, "klp_patch.objs"), objects);
  out.set<std::uint8_t>(out.member(patch, "klp_patch.replace"), content.replace ? 1 : 0);
  write_objects(content.objects, objects, out);
  write_states(content.states, patch, out);
}

}  // namespace suture::module
