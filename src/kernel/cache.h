// SPDX-License-Identifier: GPL-2.0-or-later
//
// The cache's inside, shared by what fills it and what reads it. The layout is described in
// kernel.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/apt.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/packages.h"

namespace suture::kernel {

fs::path kernels_directory();
fs::path downloads_directory();
fs::path toolchains_directory();
fs::path apt_directory();
fs::path derived_directory(const std::string& build_id);

// As root: `path`, which lies in the cache, and what is above it there belong to root, or to who
// became root by sudo, and others may not write to them; untrusted-file. Whose cache it is decides
// what is compiled and loaded.
Status check_cache_owner(const fs::path& path = cache_directory());

// Held while an entry, or a derived tree, is made or removed. Where another process has it,
// `progress` is told, which may be empty.
Result<FileLock> lock_cache(const Progress& progress = {});

// Temporary directories in the cache start with this; whoever holds the lock may remove them, since
// nobody who made them can be alive.
inline constexpr const char* temporary_prefix = ".new";
void remove_leftovers(const fs::path& directory);
// One that becomes an entry of `directory` by a rename, so everyone who may read the cache may read
// it.
Result<TempDir> make_entry_directory(const fs::path& directory = kernels_directory());

// A release comes from people and from files, and becomes part of a path.
bool is_release_name(std::string_view release);
// "6.1" of "6.1.0-56-amd64".
std::string series_of(const std::string& release);
// "amd64" of "6.1.0-56-amd64", "cloud-amd64" of "6.1.0-56-cloud-amd64".
std::string flavour_of(const std::string& release);

// Writes the entry's kernel.json, which makes it a whole one.
struct EntryParts {
  std::vector<Package> packages;  // the image's first; none where it was given by its files
  std::string suite;              // where they came from; empty: what the machine's apt knew
  std::string toolchain;          // its name; empty: the machine's own
};
Status write_entry(const fs::path& root, const Image& image, const EntryParts& parts);

// Puts what `make` makes in a directory in place as that release's entry, under the cache's lock.
// False, and nothing is made, where there is one by then, be it a damaged one.
Result<bool> make_entry(const std::string& release, const Progress& progress,
                        const std::function<Status(const fs::path& root)>& make);

// not-cached where there is none, bad-package where it is damaged.
Result<Kernel> read_entry(const std::string& release);

// The image and the configuration are of one kernel (config-mismatch, wrong-kernel).
Status check_identity(const Image& image, const fs::path& config);

}  // namespace suture::kernel
