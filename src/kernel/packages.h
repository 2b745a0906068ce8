// SPDX-License-Identifier: GPL-2.0-or-later
//
// Stock Debian kernels: fetched by apt (with its own verification of signatures and hashes),
// unpacked by libarchive into the cache, nothing installed.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kernel/kernel.h"

namespace suture::kernel {

// Called with one line per step ("fetching linux-image-6.1.0-56-amd64 6.1.192-2").
using Progress = std::function<void(std::string_view)>;

class Archive;

// The newest release that the archive has: what linux-image-amd64 (or that of the machine's own
// architecture) stands for.
Result<std::string> newest_release(const Archive& archive);

// Whether the archive has all packages of that kernel.
Result<bool> has_kernel(const std::string& release, const Archive& archive);

// A kernel of the cache, and whether it was made just now.
struct Added {
  Kernel kernel;
  bool made = false;
};

// Fetches, unpacks and prepares; returns the existing entry where it is there already, with what an
// earlier version did not prepare made good. Whole or nothing: the entry is built in a temporary
// directory beside it and renamed into place under a lock.
Result<Added> add(const std::string& release, const Archive& archive, const Progress& progress);

// The same for a kernel that is given by its files, its modules included: they are copied, checked
// against each other as from_files() does, and prepared. `archive` is asked for the compiler where
// the machine lacks it. wrong-kernel where the cache has another kernel of that release.
Result<Added> add_files(const KernelFiles& files, const Archive& archive, const Progress& progress);

// Prepares a kernel source tree in place: config, Module.symvers, olddefconfig, prepare,
// modules_prepare with the release that the image has, the list of compile units (units.h) and what
// kbuild generates. Used for packages and for --source. `toolchain` is the root of the programs to
// use, empty for the machine's.
Status prepare_tree(const fs::path& tree, const fs::path& config, const fs::path& symvers,
                    const std::string& release, const fs::path& toolchain,
                    const Progress& progress);

}  // namespace suture::kernel
