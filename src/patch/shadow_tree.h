// SPDX-License-Identifier: GPL-2.0-or-later
//
// The patched source tree, without copying the tree.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "source/patch.h"

namespace suture::patch {

struct TreePaths {
  fs::path tree;    // the kernel's source, which stays as it is
  fs::path shadow;  // what the compiler sees of it
  fs::path links;   // what later shadows of the same tree are made from; need not be there
};

// Makes the shadow (an empty directory) look like the tree with `files` changed.
Status make_shadow_tree(const std::vector<source::ChangedFile>& files, const TreePaths& paths);

// Makes the directories on the way to `source` real, its own and those that a ".." leads back from:
// kbuild may spell a source as "drivers/a/../b/c.c", and a source may include "../x.h". To be
// called before a compiler is given that path.
Status make_way(const std::string& source, const TreePaths& paths);

// The first of `read` (paths as a compiler working in `shadow` names them) that is the tree's own
// version of a changed file; empty where there is none.
std::string find_unpatched(const std::vector<std::string>& read,
                           const std::vector<source::ChangedFile>& files, const fs::path& tree,
                           const fs::path& shadow);

}  // namespace suture::patch
