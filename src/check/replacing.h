// SPDX-License-Identifier: GPL-2.0-or-later
//
// What stops being fixed where one patch takes the place of another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "module/metadata.h"

namespace suture::check {

struct Loss {
  std::string patch;                   // the one that goes
  std::vector<std::string> functions;  // that go back to the kernel's own code: "f", "g (ext4)"
  std::vector<std::string> cves;
  // The fix itself is not in the new patch, as far as can be told. Where all diffs of the old patch
  // are among those of the new one, or all its CVEs, it fixes the same otherwise.
  bool fix_lost = false;

  bool any() const { return !functions.empty() || !cves.empty(); }
};

// `old` is the patch that goes; its objects may come from the kernel, where it does not say more.
Loss lost_to(const module::Metadata& newer, const module::Metadata& old);

// "'a' alone has f, g and fixes CVE-2026-1".
std::string describe(const Loss& loss);

}  // namespace suture::check
