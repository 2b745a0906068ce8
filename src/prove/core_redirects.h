// SPDX-License-Identifier: GPL-2.0-or-later
//
// What only a patch for Suture's core says of its redirects: sizes, split-off parts, and the thunks
// that lead from old entries to new functions.
#pragma once

#include "prove/meaning.h"
#include "prove/patch_data.h"

namespace suture::prove {

// A redirect that has been resolved: from a part of a side's pre, or of no file of the patch (-1),
// to one of a side's post.
struct Resolved {
  std::size_t pre_side = 0;
  std::int32_t pre = -1;
  std::size_t side = 0;
  std::int32_t post = -1;
  const Redirect* redirect = nullptr;
};

// Accuses where one is wrong; to be asked when everything that the redirects lead to has been
// followed. The thunks' places join `extents`.
void check_core_redirects(Meaning& meaning, const LoadedPatch& patch, ModuleTables& tables,
                          Running& running, std::deque<Side>& sides,
                          const std::vector<Resolved>& redirects,
                          std::vector<std::pair<std::uint64_t, std::uint64_t>>& extents);

// Accuses where either core writes into an instruction that the loader may have replaced.
void check_alternatives(Meaning& meaning, const elf::Arch& arch, const LoadedPatch& patch,
                        ModuleTables& tables);

}  // namespace suture::prove
