// SPDX-License-Identifier: GPL-2.0-or-later
//
// Debian's archive by way of apt, which checks signatures: what packages there are, and their files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

struct Package {
  std::string name;
  std::string version;
  std::string file;  // "linux-source-6.1_6.1.192-2_all.deb"
  std::uint64_t size = 0;
  std::string sha256;
};

// One field of the candidate version's record ("Depends"); empty where the package or the field is
// unknown.
Result<std::string> package_field(const std::string& name, const std::string& field);

// Names of all packages that start with `prefix`.
Result<std::vector<std::string>> package_names(const std::string& prefix);

// The versions of a package that the archive has now, newest first; empty where it has none.
Result<std::vector<std::string>> package_versions(const std::string& name);

// Where the file of NAME=VERSION is and what it hashes to; package-failed where the archive does not
// have that version.
Result<Package> locate_package(const std::string& name, const std::string& version);

// The package's file in `downloads`, fetched where it is not there yet, and of the right hash.
Result<fs::path> fetch_package(const Package& package, const fs::path& downloads);

}  // namespace suture::kernel
