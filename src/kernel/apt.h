// SPDX-License-Identifier: GPL-2.0-or-later
//
// Debian's archive by way of apt, which checks signatures: what packages there are, and their
// files.
#pragma once

#include <cstdint>
#include <optional>
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

// What apt may choose from: the machine's own sources of packages, or those of one suite, with a
// state of its own in the cache, so that the machine's apt never hears of it.
class Archive {
 public:
  // What the machine's apt knows, as it was at the last `apt-get update`.
  static Archive of_machine() { return {}; }

  // "trixie", "trixie-backports", "trixie-security", "sid": the suite, what it builds on, and their
  // updates, from the mirrors that the machine uses. Fetches the index where it is not the newest.
  // usage where that is no name of a suite, package-failed where no mirror has it.
  static Result<Archive> of_suite(const std::string& suite, const Progress& progress);

  // Empty: the machine's.
  const std::string& suite() const { return suite_; }

  // What to do where it lacks something that it ought to have.
  std::string remedy() const;

  // All versions of the named packages that the archive has, newest first for each name; unknown
  // names are left out.
  Result<std::vector<Package>> find_packages(const std::vector<std::string>& names) const;

  // The version of a package that apt would install: of several suites, the one that the machine's
  // apt prefers, or the newest of a suite that was named. Nothing where there is none.
  Result<std::optional<Package>> preferred(const std::string& name) const;

  // Names of all packages that start with `prefix`.
  Result<std::vector<std::string>> package_names(const std::string& prefix) const;

  // The packages' files in `downloads`, in the order given: fetched where they are not there yet,
  // and of the right hash. Says how much has come, another thread does.
  Result<std::vector<fs::path>> fetch_packages(const std::vector<Package>& packages,
                                               const fs::path& downloads,
                                               const Progress& progress) const;

  // The packaging of the source package that `package` was built from
  // ("linux_6.1.170-3.debian.tar.xz"), in `downloads`. unknown-release where the archive has no
  // source of that version.
  Result<fs::path> fetch_packaging(const Package& package, const fs::path& downloads) const;

  // Debian's part of it, as the lines of a sources.list.
  Result<std::string> sources() const;

  // How the machine's apt fetches (proxies and the like), as lines of an apt.conf.
  static Result<std::string> ways_to_fetch();

 private:
  std::vector<std::string> options() const;

  std::string suite_;
  fs::path state_;  // sources.list, lists/, cache/; empty: the machine's
};

}  // namespace suture::kernel
