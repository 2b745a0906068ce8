// SPDX-License-Identifier: GPL-2.0-or-later
//
// The patch as a core wants it: for the kernel's livepatch, struct klp_patch and the arrays that
// hang on it; for Suture's own, struct suture_patch (kmod/include/suture_patch.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "module/glue.h"
#include "module/metadata.h"
#include "module/placing.h"

namespace suture::module {

// Code of the module, and how many bytes of it.
struct NewCode {
  Place place;
  std::uint64_t size = 0;
};

// One function: what runs, what replaces it, and the parts that the compiler split off them.
struct Redirect {
  Binding old;
  std::optional<Binding> old_cold;
  NewCode now;
  std::optional<NewCode> now_cold;
  bool has_rows = false;  // for unwinding (ORC)
};

struct ObjectContent {
  std::vector<Redirect> redirects;
  std::map<std::string, Place> callbacks;  // pre_patch, ... → the function
};

struct PatchContent {
  std::map<std::string, ObjectContent> objects;  // "vmlinux" or a module
  std::vector<SystemState> states;
  bool replace = false;
  std::uint64_t image_text = 0;  // the address of _text in the image that was matched
  std::string image_build_id;    // of that image, lower-case hex, may be empty
};

// Makes room for the patch: the global suture_patch.
Place reserve_patch(Core core, const Glue& glue, Placing& placing, Assembly& assembly);

// Fills it in, once everything else has been written.
void write_klp_patch(const PatchContent& content, Place patch, const Glue& glue,
                     const elf::Arch& arch, const Placing& placing, Assembly& assembly);
void write_suture_patch(const PatchContent& content, Place patch, const Glue& glue,
                        const elf::Arch& arch, const Placing& placing, Assembly& assembly);

}  // namespace suture::module
