// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory that the running kernel has allocated in one way, and that the patch would free in
// another.
#pragma once

#include <functional>

#include "diff/boot_graph.h"

namespace suture::diff {

// A run-time function that goes in, and what it was; nothing where it is new.
struct GoingIn {
  Node after;
  std::optional<Node> before;
};

// Refuses (layout-changed), in its file's diff, each function that goes in and frees by another
// function, or by another size, as a function that goes in allocates. `answered_for`: a callback of
// the patch may see to it.
void judge_freed_memory(const BootGraph& before, const BootGraph& after, std::span<BootFile> files,
                        std::span<const GoingIn> functions,
                        const std::function<bool(Node)>& answered_for);

}  // namespace suture::diff
