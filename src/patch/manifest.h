// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch's manifest: in TOML (toml.io, 1.0), what its diffs do not say.
//
//   diffs = ["first.patch", "second.patch"]   # paths from the manifest's directory
//   [patch]
//   name = "fix"  version = "3"  description = "one line"
//   cves = ["CVE-2026-1234"]  replace = true
//   [[state]]                                 # a system state that callbacks bring about
//   id = 1  version = 2
//   [[ignore]]                                # stays as it runs
//   file = "fs/x.c"  name = "limit"  reason = "set by a callback"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "module/metadata.h"

namespace suture::patch {

struct Manifest {
  std::vector<fs::path> diffs;
  std::optional<std::string> name, version, description;
  std::vector<std::string> cves;
  std::optional<bool> replace;
  std::vector<module::SystemState> states;
  std::vector<module::Ignored> ignored;
};

// bad-manifest with the place: no TOML, a key that is not known, or a value that cannot be.
// `directory` is what relative paths start from.
Result<Manifest> parse_manifest(std::string_view text, const std::string& where,
                                const fs::path& directory);
Result<Manifest> read_manifest(const fs::path& path);

}  // namespace suture::patch
