// SPDX-License-Identifier: GPL-2.0-or-later
//
// The patch as the livepatch core wants it: struct klp_patch and the arrays that hang on it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "module/glue.h"
#include "module/placing.h"

namespace suture::module {

struct Redirect {
  std::string name;
  std::uint32_t sympos = 0;
  Place target;
};

// `redirects`: object → its functions. Adds the global suture_patch.
void write_patch_data(const std::map<std::string, std::vector<Redirect>>& redirects, bool replace,
                      const Glue& glue, const elf::Arch& arch, Placing& placing,
                      Assembly& assembly);

}  // namespace suture::module
