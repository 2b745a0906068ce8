// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/patch_data.h"

namespace suture::module {

namespace {

class Writer {
 public:
  Writer(const Glue& glue, const elf::Arch& arch, Assembly& assembly)
      : glue_(glue),
        arch_(arch),
        assembly_(assembly),
        data_(assembly.section(".data.suture_patch", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, align)) {}

  // Structures, all zero at first.
  Place reserve(const char* type, std::uint64_t count) {
    return assembly_.append(data_, {}, glue_.constant(type) * count, align);
  }
  Place member(Place base, const char* name) const {
    return Place{base.section, base.offset + glue_.constant(name)};
  }
  void point(Place field, Place target) {
    assembly_.relocate(field, arch_.absolute64(), target, 0);
  }
  template <class T>
  void set(Place field, T value) {
    write_le<T>(assembly_.data(field.section), field.offset, value);
  }
  void point_at_string(Place field, const std::string& text) {
    std::int32_t section = assembly_.section(".rodata.suture_patch", SHT_PROGBITS, SHF_ALLOC, 1);
    Bytes bytes(text.begin(), text.end());
    bytes.push_back(0);
    point(field, assembly_.append(section, bytes, bytes.size(), 1));
  }

 private:
  static constexpr std::uint64_t align = 32;
  const Glue& glue_;
  const elf::Arch& arch_;
  Assembly& assembly_;
  std::int32_t data_;
};

void write_objects(const std::map<std::string, ObjectContent>& objects, Place at, const Glue& glue,
                   Writer& out) {
  for (const auto& [name, content] : objects) {
    Place function = out.reserve("klp_func", content.redirects.size() + 1);
    if (name != "vmlinux") {
      out.point_at_string(out.member(at, "klp_object.name"), name);
    }
    out.point(out.member(at, "klp_object.funcs"), function);
    for (const auto& [kind, callback] : content.callbacks) {
      out.point(out.member(at, ("klp_object.callbacks." + kind).c_str()), callback);
    }
    for (const Redirect& redirect : content.redirects) {
      out.point_at_string(out.member(function, "klp_func.old_name"), redirect.name);
      out.point(out.member(function, "klp_func.new_func"), redirect.target);
      out.set<std::uint64_t>(out.member(function, "klp_func.old_sympos"), redirect.sympos);
      function.offset += glue.constant("klp_func");
    }
    at.offset += glue.constant("klp_object");
  }
}

void write_states(const std::vector<SystemState>& states, Place patch, const Glue& glue,
                  Writer& out) {
  if (states.empty()) {
    return;
  }
  Place at = out.reserve("klp_state", states.size() + 1);
  out.point(out.member(patch, "klp_patch.states"), at);
  for (const SystemState& state : states) {
    out.set<std::uint64_t>(out.member(at, "klp_state.id"), state.id);
    out.set<std::uint32_t>(out.member(at, "klp_state.version"), state.version);
    at.offset += glue.constant("klp_state");
  }
}

}  // namespace

// struct klp_patch, then klp_object[], then each object's klp_func[], then klp_state[]; every array
// ends with zeros.
void write_patch_data(const PatchContent& content, const Glue& glue, const elf::Arch& arch,
                      Placing& placing, Assembly& assembly) {
  Writer out(glue, arch, assembly);
  Place patch = out.reserve("klp_patch", 1);
  Place objects = out.reserve("klp_object", content.objects.size() + 1);
  placing.add_global("suture_patch", patch);
  out.point(out.member(patch, "klp_patch.mod"), placing.global("__this_module"));
  out.point(out.member(patch, "klp_patch.objs"), objects);
  out.set<std::uint8_t>(out.member(patch, "klp_patch.replace"), content.replace ? 1 : 0);
  write_objects(content.objects, objects, glue, out);
  write_states(content.states, patch, glue, out);
}

}  // namespace suture::module
