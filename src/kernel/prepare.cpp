// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <thread>

#include "kernel/packages.h"

namespace suture::kernel {

namespace {

// Calls `use` with every line of `text`.
template <class Use>
void for_each_line(std::string_view text, const Use& use) {
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    use(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
}

// The major version at the end of "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0".
std::string major_version(std::string_view compiler_text) {
  std::string_view version = compiler_text.substr(compiler_text.find_last_of(' ') + 1);
  return std::string(version.substr(0, version.find('.')));
}

bool is_decimal(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<ConfigIdentity> config_identity(std::string_view config, const std::string& where) {
  ConfigIdentity identity;
  constexpr std::string_view title = "# Linux/";
  constexpr std::string_view title_end = " Kernel Configuration";
  constexpr std::string_view compiler = "CONFIG_CC_VERSION_TEXT=\"";
  for_each_line(config, [&](std::string_view line) {
    if (identity.arch.empty() && line.starts_with(title) && line.ends_with(title_end)) {
      line.remove_prefix(title.size());
      line.remove_suffix(title_end.size());
      std::size_t blank = line.find(' ');
      if (blank != std::string_view::npos) {
        identity.arch = line.substr(0, blank);
        identity.version = line.substr(blank + 1);
      }
    } else if (line.starts_with(compiler) && line.ends_with('"')) {
      line.remove_prefix(compiler.size());
      line.remove_suffix(1);
      identity.compiler_text = line;
    }
  });
  if (identity.arch.empty() || identity.version.empty() || identity.compiler_text.empty()) {
    return fail(Code::bad_config, where, "this is no complete configuration of a kernel",
                "give the kernel's own configuration (/boot/config-RELEASE)");
  }
  return identity;
}

Result<std::string> find_compiler(const std::string& compiler_text) {
  std::string name = compiler_text.substr(0, compiler_text.find(' '));
  std::string major = major_version(compiler_text);
  if (name.find("gcc") == std::string::npos || name.find('/') != std::string::npos ||
      !is_decimal(major)) {
    return fail(Code::compiler_mismatch, compiler_text,
                "this kernel was not compiled by gcc, and no other compiler is supported",
                "use a kernel that was compiled by gcc");
  }
  std::string versioned = "gcc-" + major;
  for (const std::string& candidate : {name, versioned}) {
    auto version = run({{candidate, "-dumpversion"}, {}, {}});
    if (!version && version.error().code != Code::missing_tool) {
      return std::unexpected(version.error());
    }
    if (version && version->exit_status == 0 &&
        major_version(version->out.substr(0, version->out.find('\n'))) == major) {
      return candidate;
    }
  }
  return fail(Code::compiler_mismatch, versioned,
              fmt::format("the kernel was compiled by '{}', which is not installed", compiler_text),
              fmt::format("apt-get install {}", versioned));
}

Command kbuild_command(const fs::path& tree, const std::string& arch, const std::string& compiler,
                       const std::string& release) {
  Command make;
  make.argv = {"make", fmt::format("ARCH={}", arch), fmt::format("CC={}", compiler),
               fmt::format("KERNELRELEASE={}", release)};
  make.directory = tree;
  // kbuild listens to all of these; a caller's exported flags must not change the code, and a make
  // above us must not hand its jobs and options down.
  for (const char* name : {"MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "KCFLAGS", "KAFLAGS",
                           "KCPPFLAGS", "KBUILD_OUTPUT", "KBUILD_EXTMOD", "KBUILD_VERBOSE",
                           "CROSS_COMPILE", "LLVM", "W", "C", "V", "O", "M"}) {
    make.env.emplace_back(name, "");
  }
  make.env.emplace_back("LC_ALL", "C");
  return make;
}

Result<std::string> source_version(const fs::path& tree) {
  auto text = read_text(tree / "Makefile");
  std::map<std::string_view, std::string_view> parts;
  if (text) {
    for_each_line(*text, [&](std::string_view line) {
      for (std::string_view name : {"VERSION", "PATCHLEVEL", "SUBLEVEL"}) {
        if (line.starts_with(name) && line.substr(name.size()).starts_with(" = ")) {
          parts.emplace(name, line.substr(name.size() + 3));
        }
      }
    });
  }
  if (parts.size() != 3) {
    return fail(Code::config_mismatch, tree.string(), "this directory holds no kernel source",
                "give the top directory of the kernel's source");
  }
  return fmt::format("{}.{}.{}", parts["VERSION"], parts["PATCHLEVEL"], parts["SUBLEVEL"]);
}

}  // namespace suture::kernel
