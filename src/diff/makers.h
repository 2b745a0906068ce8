// SPDX-License-Identifier: GPL-2.0-or-later
//
// Functions that the kernel calls when something new comes: a network namespace, a processor, an
// object of a cache. What is there stays as it is.
#pragma once

#include "diff/boot_graph.h"

namespace suture::diff {

// Tells, in the notes of its file, of each such function that the patch replaces. `after` are the
// files after the diff.
void tell_makers(const BootGraph& after, std::span<BootFile> files);

}  // namespace suture::diff
