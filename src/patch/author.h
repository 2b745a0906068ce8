// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the patch's author says beside the code, in the manifest and by the macros of suture.h,
// joined.
#pragma once

#include <string>
#include <vector>

#include "diff/directives.h"
#include "patch/build.h"
#include "source/patch.h"

namespace suture::patch {

// What post of `source` says, with the manifest's part for that file. bad-manifest.
Result<diff::Directives> directives_of(const diff::PieceGraph& post, const std::string& source,
                                       const std::vector<module::Ignored>& manifest);

// Adds a file's states, and what it ignores, to what the module will state. bad-manifest where two
// versions of a state are given.
Status join(const diff::Directives& directives, const std::string& source,
            module::Metadata& metadata);

// bad-manifest where the manifest speaks of a file that no diff changes.
Status check_files(const std::vector<module::Ignored>& manifest,
                   const std::vector<source::ChangedFile>& files);

// What diffs include, as files of the patched tree: include/suture.h, and what it includes.
std::vector<source::ChangedFile> author_headers(module::Core core);

}  // namespace suture::patch
