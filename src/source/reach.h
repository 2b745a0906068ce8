// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who can see a difference when headers change, before anything is preprocessed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "source/patch.h"
#include "source/source_index.h"

namespace suture::source {

struct Reach {
  std::vector<bool> users;         // for each reader of the index: it may include a changed header
  std::vector<bool> candidates;    // of these, who may see a difference
  std::vector<std::string> names;  // what the change itself defines, takes away or alters
  // More than macros and directives change: whoever includes the header has another text.
  bool text_differs = false;
  // Where names do not decide, and all that include some file count: why. Empty where they do.
  std::string reason;
};

Result<Reach> reach(const SourceIndex& index, const fs::path& tree,
                    const std::vector<ChangedFile>& headers);

}  // namespace suture::source
