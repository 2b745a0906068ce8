// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a loaded module asks of its core; of livepatch: struct klp_patch and what hangs on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "prove/load.h"
#include "prove/tables.h"

namespace suture::prove {

// What a patch for Suture's core says of a redirect beside its ends.
struct CoreFunction {
  CoreSymbol old;
  std::uint64_t old_size = 0;
  std::optional<CoreSymbol> old_cold;
  std::uint64_t old_cold_size = 0;
  std::uint64_t new_size = 0;
  std::uint64_t new_cold = 0;  // 0: none
  std::uint64_t new_cold_size = 0;
  std::uint64_t entry = 0;  // of the thunk
};

struct Redirect {
  std::string object;  // "vmlinux" or a module
  std::string name;
  std::uint64_t position = 0;
  std::uint64_t to = 0;  // the new function
  std::optional<CoreFunction> core;
};

struct Callback {
  std::string object;
  std::string kind;  // pre_patch, post_patch, pre_unpatch or post_unpatch
  std::uint64_t to = 0;
};

struct PatchData {
  std::vector<Callback> callbacks;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> states;  // id and version
  std::vector<Redirect> redirects;
  bool replaces = false;
  std::uint64_t module = 0;                                      // what the patch's mod points at
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;  // address and size of all of it
};

// proof-failed where the core would not understand it, or finds something in it that Suture does
// not write.
Result<PatchData> read_patch_data(const LoadedPatch& patch, std::uint64_t address,
                                  const Constants& constants);

}  // namespace suture::prove
