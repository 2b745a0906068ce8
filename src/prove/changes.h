// SPDX-License-Identifier: GPL-2.0-or-later
//
// What of an object means something else after the diff, and what of the running kernel must
// therefore run no more.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "prove/pairing.h"

namespace suture::prove {

struct Changes {
  std::vector<bool> differs;  // by post part: it is paired, and means something else
  std::vector<bool> stale;    // by post part: code that the running kernel's own must not run for
  std::vector<bool>
      at_boot;              // by post part: it differs, and its section says that it runs only then
  std::vector<Error> lost;  // changes that no patch of functions can bring about
};

// `ignored`: the names of what the author leaves as it runs.
Changes find_changes(const Read& pre, const Read& post, const Pairing& pairing, bool of_module,
                     const std::set<std::string, std::less<>>& ignored);

}  // namespace suture::prove
