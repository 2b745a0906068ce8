// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch that is made to be loaded onto another: what it does to that one's work.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "module/metadata.h"

namespace suture::patch {

struct Succession {
  std::string previous;    // the earlier patch's name
  bool takes_over = true;  // it replaces the earlier one; else both stay in force
  // Functions, as "OBJECT NAME" or "OBJECT NAME,SYMPOS". `again`: both patches change it, and that
  // the new one holds the earlier one's change is not known.
  std::vector<std::string> adds, drops, keeps, again;
  std::vector<std::string> warnings;  // of a change that may be lost
};

// The module file of the earlier patch. bad-module where Suture did not make it, wrong-kernel,
// usage where the new patch has its name: the kernel keeps no two modules of one name.
Result<module::Metadata> read_previous(const fs::path& path, const module::Metadata& next);

// The variables that the earlier patch brought with it, by name.
Result<std::set<std::string>> variables_in(const fs::path& module);

Succession succession(const module::Metadata& previous, const module::Metadata& next);

}  // namespace suture::patch
