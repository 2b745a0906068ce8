// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel to build for: where its parts lie. Cached ones are made by `suture kernel add`
// (packages.h); any other is given by --vmlinuz --config --symvers --source [--modules].
//
// Cache layout ($XDG_CACHE_HOME/suture, else ~/.cache/suture):
//   kernels/REL/            one whole entry, put in place by one rename
//     kernel.json           release, package versions, build id, architecture, schema
//     vmlinuz vmlinux config Module.symvers System.map
//     modules/              what the package has under /lib/modules/REL
//     source/               the prepared tree; never written again
//   derived/KEY/            what builds make for that kernel (glue, pre objects, headers, links)
//                           and booted guests, removable at any time; KEY is the vmlinux build id
//   toolchains/NAME/        compilers of other releases of Debian (toolchain.h)
//   apt/SUITE/              what the archive has in suites that the machine's apt does not know
//   downloads/              packages, kept by version
//   lock                    held while an entry is made
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

struct Kernel {
  std::string release;          // "6.1.0-56-amd64"
  std::string package_version;  // "6.1.192-2"; empty for a kernel given by its files
  std::string build_id;         // of vmlinux, lower-case hex
  fs::path root;     // the cache entry; for a kernel given by its files, its derived entry
  fs::path vmlinuz;  // bootable image
  fs::path vmlinux;  // decompressed ELF
  fs::path config;
  fs::path symvers;
  fs::path modules;    // the directory like /lib/modules/REL; empty where none was given
  fs::path source;     // prepared tree
  fs::path units;      // what kbuild makes the kernel of (units.h)
  fs::path derived;    // derived/KEY, exists
  fs::path toolchain;  // root of the programs that compile it (toolchain.h); empty: the machine's
};

fs::path cache_directory();

// The cached kernel of that release, or not-cached with the command that adds it. An empty release
// means the newest cached one of the series and flavour that linux-image-amd64 stands for in the
// machine's release of Debian. Where there is none, it means the newest of any other.
Result<Kernel> find(const std::string& release);

// The series of a release of Debian ("6.12" of Debian 13), by its /etc/os-release; empty for one
// that is not known.
std::string series_of_debian(std::string_view os_release);

// One that is there and cannot be used: it is damaged, or another user's.
struct BadEntry {
  std::string release;
  fs::path root;
  Error error;
};

// Oldest first. untrusted-file where the whole cache is; what is wrong with one entry hides no
// other.
struct Listing {
  std::vector<Kernel> kernels;
  std::vector<BadEntry> bad;
};
Result<Listing> list();

// A kernel given by its files. Extracts vmlinux into the cache, checks that config, symvers and
// source belong to the image (config-mismatch, wrong-kernel), and prepares a private copy of the
// source tree unless it is prepared already.
struct KernelFiles {
  fs::path vmlinuz, config, symvers, source, modules;
};
Result<Kernel> from_files(const KernelFiles& files);

}  // namespace suture::kernel
