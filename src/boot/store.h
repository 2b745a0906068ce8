// SPDX-License-Identifier: GPL-2.0-or-later
//
// Installed patches: what is loaded again at each boot of the kernel that they are for.
//   /var/lib/suture/                 0755
//     lock                           held while something is written
//     REL/                           0755, one directory a release
//       NAME.ko                      0644, a patch
//       manifest.json                what is applied, in order
//       guard.json                   whether the machine outlived applying it (boot.h)
// A patch runs as the kernel: nothing here is read or loaded unless every directory on the way and
// the file itself belong to root and only root may write to them.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/file.h"

namespace suture::boot {

struct Store {
  fs::path directory = "/var/lib/suture";
  // Tests have a directory and an owner of their own: what lies above `top` is not looked at.
  fs::path top = "/";
  uid_t owner = 0;

  fs::path of(const std::string& release) const { return directory / release; }
};

struct InstalledPatch {
  std::string name;  // the module's
  std::string version;
  std::string sha256;  // of the file
  std::string before;  // of the file that this one took the place of: a crash may have left that
  bool replace = false;
  std::string core = "livepatch";  // that it is for, by name

  std::string file() const { return name + ".ko"; }
};

// Letters, digits and -_.+~, not starting with a dot: what may become a name in the store.
bool is_file_name(std::string_view name);

// Held while the store is read to be changed, and while it is applied.
Result<FileLock> lock_store(const Store& store);

// Opens a file of the store for reading, or for writing in place. untrusted-file names who may
// change what; io where it is not there. Symbolic links are not followed.
enum class Access { read, write };
Result<Descriptor> open_trusted(const Store& store, const fs::path& path, Access access);

// In the order in which they are applied; none where nothing is installed for the release.
// untrusted-file, bad-config where the manifest is damaged.
Result<std::vector<InstalledPatch>> installed_patches(const Store& store,
                                                      const std::string& release);
// Those that are for that core, in the same order: a cumulative patch takes over only from them.
std::vector<InstalledPatch> of_core(const std::vector<InstalledPatch>& patches,
                                    std::string_view core);
// The releases that anything is installed for, sorted.
std::vector<std::string> installed_releases(const Store& store);

// The file is what was installed, and only root could have changed it: untrusted-file where not.
Status check_installed(const Store& store, const std::string& release, const InstalledPatch& patch);

struct InstallOutcome {
  std::string release;
  InstalledPatch patch;
  bool was_there = false;               // the very same file was installed already
  std::vector<std::string> superseded;  // installed before it, and not applied while it is there
};

// Puts the module last in the order of the release that it is for; one of the same name goes.
// bad-module, untrusted-file, no-space, not-permitted; on an error nothing has changed.
Result<InstallOutcome> install(const Store& store, const fs::path& module);

// not-installed.
Status uninstall(const Store& store, const std::string& release, const std::string& name);

// Names of those that a boot applies: of each core the last cumulative patch, and what was
// installed after it.
std::vector<std::string> applied_at_boot(const std::vector<InstalledPatch>& patches);

}  // namespace suture::boot
