// SPDX-License-Identifier: GPL-2.0-or-later
//
// Running kbuild in a kernel's tree with the compiler that made the kernel, whatever the caller's
// environment says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

namespace suture::kernel {

// What a kernel configuration says about the kernel that it configures.
struct ConfigIdentity {
  std::string version;        // "6.1.192", from "# Linux/x86 6.1.192 Kernel Configuration"
  std::string arch;           // kbuild's ARCH: "x86", "arm64"
  std::string compiler_text;  // CONFIG_CC_VERSION_TEXT: "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"
};

// bad-config where it is no kernel configuration.
Result<ConfigIdentity> config_identity(std::string_view config, const std::string& where);

// Whether the configuration has the option as "=y".
bool has_option(std::string_view config, std::string_view option);

// Packages of Debian that preparing a source of that configuration needs, beside the compiler, and
// that the machine lacks.
std::vector<std::string> missing_on_machine(const std::string& config);

// make in `tree` with the kernel's architecture, compiler and release; the caller adds targets.
Command kbuild_command(const fs::path& tree, const std::string& arch, const std::string& compiler,
                       const std::string& release);

// VERSION.PATCHLEVEL.SUBLEVEL of a source tree's Makefile ("6.1.192"); config-mismatch where the
// directory holds no kernel source.
Result<std::string> source_version(const fs::path& tree);

// Whether the tree is prepared for that release and configuration, so that objects compile in it.
bool is_prepared(const fs::path& tree, const fs::path& config, const std::string& release);

}  // namespace suture::kernel
