// SPDX-License-Identifier: GPL-2.0-or-later
//
// Debian's archive by way of apt, which checks signatures: what packages there are, and their
// files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/packages.h"

namespace suture::kernel {

// A package as the archive's signed index describes it.
struct Package {
  std::string name;
  std::string version;
  std::string source;  // the source package that it was built from
  std::string depends;
  std::string file;  // "linux-source-6.1_6.1.192-2_all.deb"
  std::uint64_t size = 0;
  std::string sha256;
};

// All versions of the named packages that the archive has, newest first for each name; unknown
// names are left out.
Result<std::vector<Package>> find_packages(const std::vector<std::string>& names);

// Names of all packages that start with `prefix`.
Result<std::vector<std::string>> package_names(const std::string& prefix);

// The packages' files in `downloads`, in the order given: fetched where they are not there yet, and
// of the right hash. Says how much has come, another thread does.
Result<std::vector<fs::path>> fetch_packages(const std::vector<Package>& packages,
                                             const fs::path& downloads, const Progress& progress);

// The packaging of the source package that `package` was built from
// ("linux_6.1.170-3.debian.tar.xz"), in `downloads`. The machine's own sources of packages are
// asked for sources too, without changing what apt knows; unknown-release where none of them has
// that version.
Result<fs::path> fetch_packaging(const Package& package, const fs::path& downloads);

}  // namespace suture::kernel
