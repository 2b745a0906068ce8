// SPDX-License-Identifier: GPL-2.0-or-later
//
// The programs that compile a kernel: the machine's own, where it has just the compiler that made
// the kernel, else a toolchain root, a small Debian in the cache that has it.
//
//   toolchains/NAME/     "gcc-14_14.2.0-19": shared by all kernels of that compiler;
//                        "...+rustc-1.85.1" for kernels with Rust in them
//     toolchain.json     schema, and the compiler as it names itself
//     root/              what the packages hold; never written again, nothing of it installed
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "kernel/apt.h"
#include "kernel/kernel.h"

namespace suture::kernel {

// A kernel's compiler as its configuration names it (CONFIG_CC_VERSION_TEXT).
struct CompilerName {
  std::string program;  // "x86_64-linux-gnu-gcc-14"
  std::string major;    // "14"
  std::string package;  // "gcc-14"
  std::string version;  // Debian's, "14.2.0-19"; empty for a compiler that is not Debian's
};
// compiler-mismatch where it is no gcc.
Result<CompilerName> compiler_name(const std::string& compiler_text);

// The toolchain for a kernel of that configuration: empty for the machine's own, else a name. Makes
// the root from `archive` where neither has the compiler. If the archive no longer has that very
// version, `progress` is told which one is taken. Called with the cache's lock held.
Result<std::string> choose_toolchain(const std::string& config, const std::string& where,
                                     const Archive& archive, const Progress& progress);

// The same without making one: what is there, else the machine's own, whatever it is.
Result<std::string> known_toolchain(const std::string& config, const std::string& where);

// Where the toolchain of that name has its files, whether it is there or not; empty for the
// machine's own.
fs::path toolchain_root(const std::string& name);

// The compiler's program in that root, or on the machine: by its own name or by that of its major
// version. compiler-mismatch, with the package to install, where there is none. A different minor
// version is taken: whether it makes the same code is what matching finds out. missing-tool where
// the root is gone, bubblewrap is missing, or the machine allows no sandbox.
Result<std::string> find_compiler(const std::string& compiler_text, const fs::path& root);

// The same for a kernel, whose configuration names the compiler.
Result<std::string> find_compiler(const Kernel& kernel);

// The command as it runs in a toolchain root: a sandbox that sees the root, the paths that are
// named, under their own names, and nothing else; no network; only `writable` can be written to.
// With an empty root the command stays as it is, and runs on the machine.
Command in_toolchain(const fs::path& root, Command command, const std::vector<fs::path>& readable,
                     const std::vector<fs::path>& writable);

// The same for a kernel that was prepared: its source, and what builds keep of it, can be read. The
// compiler's temporary files are in `writable`, too, or in the sandbox.
Command in_toolchain(const Kernel& kernel, Command command, const fs::path& writable);

}  // namespace suture::kernel
