// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a loaded module asks of Suture's own core: struct suture_patch and what hangs on it, as
// kmod/include/suture_patch.h lays it out. Every member is 8 bytes, but where two unsigned ints
// share them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "prove/patch_data.h"

namespace suture::prove {

// A field that the core writes.
struct CoreRelocation {
  std::uint64_t place = 0;
  CoreSymbol symbol;
  std::uint64_t addend = 0;
  std::uint32_t type = 0;
  std::string with;  // the object that it is bound with
};

struct CorePatch {
  PatchData data;
  std::vector<CoreRelocation> relocations;
  std::uint64_t image_text = 0;
  std::string image_build_id;  // empty: the image has none
};

// proof-failed where the core would not understand it, or finds something in it that Suture does
// not write.
Result<CorePatch> read_core_patch(const LoadedPatch& patch, std::uint64_t address);

}  // namespace suture::prove
