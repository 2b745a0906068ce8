// SPDX-License-Identifier: GPL-2.0-or-later
//
// The patch as the livepatch core wants it: struct klp_patch and the arrays that hang on it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "module/glue.h"
#include "module/metadata.h"
#include "module/placing.h"

namespace suture::module {

struct Redirect {
  std::string name;
  std::uint32_t sympos = 0;
  Place target;
};

struct ObjectContent {
  std::vector<Redirect> redirects;
  std::map<std::string, Place> callbacks;  // pre_patch, ... → the function
};

struct PatchContent {
  std::map<std::string, ObjectContent> objects;  // "vmlinux" or a module
  std::vector<SystemState> states;
  bool replace = false;
};

// Adds the global suture_patch.
void write_patch_data(const PatchContent& content, const Glue& glue, const elf::Arch& arch,
                      Placing& placing, Assembly& assembly);

}  // namespace suture::module
