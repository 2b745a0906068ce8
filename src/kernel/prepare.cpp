// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <thread>

#include "base/text.h"
#include "kernel/make_units.h"
#include "kernel/packages.h"
#include "kernel/toolchain.h"

namespace suture::kernel {

namespace {

using Options = std::map<std::string, std::string, std::less<>>;

// "CONFIG_X=y" and "# CONFIG_X is not set", the latter as an empty value.
Options config_options(std::string_view text) {
  Options options;
  constexpr std::string_view unset = " is not set";
  for_each_line(text, [&](std::string_view line) {
    std::size_t equals = line.find('=');
    if (line.starts_with("CONFIG_") && equals != std::string_view::npos) {
      options.emplace(line.substr(0, equals), line.substr(equals + 1));
    } else if (line.starts_with("# CONFIG_") && line.ends_with(unset)) {
      options.emplace(line.substr(2, line.size() - 2 - unset.size()), std::string{});
    }
  });
  return options;
}

// What kbuild finds out about the tools at hand, and what a distribution leaves out of the
// configuration that it ships because it is about its own signing keys.
bool is_about_the_build(std::string_view option) {
  static constexpr std::string_view names[] = {"CONFIG_CC_VERSION_TEXT", "CONFIG_BUILD_SALT",
                                               "CONFIG_MODULE_SIG_ALL", "CONFIG_MODULE_SIG_KEY",
                                               "CONFIG_SYSTEM_TRUSTED_KEYS"};
  return std::ranges::find(names, option) != std::end(names) ||
         (option.ends_with("_VERSION") && !option.starts_with("CONFIG_LOCAL")) ||
         option.starts_with("CONFIG_RUST") || option.starts_with("CONFIG_BINDGEN");
}

std::string shown(const Options& options, const std::string& name) {
  auto found = options.find(name);
  return found == options.end() ? "not there" : found->second.empty() ? "not set" : found->second;
}

// The options that kbuild changed in a configuration, as "CONFIG_X (y, now n)", at most five.
std::string changed_options(const Options& given, const Options& made) {
  std::vector<std::string> names;
  for (const auto& [name, value] : given) {
    auto found = made.find(name);
    // An option that is off may as well not be there: its menu went away.
    bool same = found == made.end() ? value.empty() : found->second == value;
    if (!same && !is_about_the_build(name)) {
      names.push_back(name);
    }
  }
  for (const auto& [name, value] : made) {
    if (!given.contains(name) && !value.empty() && !is_about_the_build(name)) {
      names.push_back(name);
    }
  }
  for (std::string& name : names) {
    name = fmt::format("{} ({}, now {})", name, shown(given, name), shown(made, name));
  }
  return listed(names, 5);
}

// Of what make said, the lines that tell why it failed, the first ones first, and what stands right
// before make's own words for it (`***`). Where none does, the last ones: with several jobs, the
// reason may stand far above the end.
std::string telling_lines(std::string_view said) {
  constexpr std::size_t most = 12;
  std::vector<std::string_view> telling, last;
  for_each_line(said, [&](std::string_view line) {
    static constexpr std::string_view signs[] = {
        "not found", "No such file", "rror:", "Error ", "cannot ", "undefined reference", "denied"};
    const bool tells = std::ranges::any_of(
        signs, [&](std::string_view sign) { return line.find(sign) != std::string_view::npos; });
    if (tells && telling.size() < most) {
      const bool summary = line.find("***") != std::string_view::npos && !last.empty();
      if (summary && (telling.empty() || telling.back() != last.back())) {
        telling.push_back(last.back());
      }
      telling.push_back(line);
    }
    last.push_back(line);
    if (last.size() > most) {
      last.erase(last.begin());
    }
  });
  return fmt::format("{}", fmt::join(telling.empty() ? last : telling, "\n"));
}

// A full disk is the one failure of make that has a remedy of its own.
Status run_make(Command make, const std::vector<std::string>& words, const fs::path& tree,
                const fs::path& toolchain) {
  make.argv.insert(make.argv.end(), words.begin(), words.end());
  Finished finished = TRY(run(in_toolchain(toolchain, std::move(make), {}, {tree})));
  if (finished.exit_status == 0) {
    return {};
  }
  if (finished.out.find("No space left on device") != std::string::npos) {
    return fail_errno(ENOSPC, tree.string(), "make " + words.back());
  }
  return fail(Code::prepare_failed, tree.string(),
              fmt::format("'make {}' ended with status {}:\n{}", words.back(), finished.exit_status,
                          telling_lines(finished.out)),
              "its first line names what is missing or wrong: mend that, then try again");
}

Status copy_into(const fs::path& from, const fs::path& to) {
  std::string text = TRY(read_text(from));
  return write_file(to, std::string_view(text));
}

}  // namespace

bool has_option(std::string_view config, std::string_view option) {
  return config.find(fmt::format("\n{}=y\n", option)) != std::string_view::npos;
}

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
    } else if (line.starts_with(compiler)) {
      line.remove_prefix(compiler.size());
      if (line.ends_with('"')) {
        line.remove_suffix(1);
        identity.compiler_text = line;
      }
    }
  });
  if (identity.arch.empty() || identity.version.empty() || identity.compiler_text.empty()) {
    return fail(Code::bad_config, where, "this is no complete configuration of a kernel",
                "give the kernel's own configuration (/boot/config-RELEASE)");
  }
  return identity;
}

std::vector<std::string> missing_on_machine(const std::string& config) {
  struct Needed {
    const char* program;
    const char* package;
  };
  std::vector<Needed> programs{{"make", "make"},       {"flex", "flex"}, {"bison", "bison"},
                               {"bc", "bc"},           {"perl", "perl"}, {"ld", "binutils"},
                               {"python3", "python3"}, {"gcc", "gcc"}};
  // Without it kbuild changes the configuration, and with it the layout of structures.
  const Options options = config_options(config);
  if (options.contains("CONFIG_PAHOLE_VERSION") && options.contains("CONFIG_DEBUG_INFO_BTF")) {
    programs.push_back({"pahole", "dwarves"});
  }
  if (has_option(config, "CONFIG_RUST")) {
    programs.insert(programs.end(), {{"rustc", "rustc"}, {"bindgen", "bindgen"}});
  }
  std::vector<std::string> missing;
  for (const Needed& needed : programs) {
    if (!find_program(needed.program, needed.package)) {
      missing.emplace_back(needed.package);
    }
  }
  for (const auto& [header, package] :
       {std::pair{"gelf.h", "libelf-dev"}, {"openssl/bio.h", "libssl-dev"}}) {
    if (!fs::exists(fs::path("/usr/include") / header)) {
      missing.emplace_back(package);
    }
  }
  return missing;
}

Command kbuild_command(const fs::path& tree, const std::string& arch, const std::string& compiler,
                       const std::string& release) {
  Command make;
  make.argv = {"make", fmt::format("ARCH={}", arch), fmt::format("CC={}", compiler),
               fmt::format("KERNELRELEASE={}", release)};
  make.directory = tree;
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

bool is_prepared(const fs::path& tree, const fs::path& config, const std::string& release) {
  auto generated = read_text(tree / "include/generated/utsrelease.h");
  auto made = read_text(tree / ".config");
  auto given = read_text(config);
  if (!generated || !made || !given ||
      generated->find(fmt::format("\"{}\"", release)) == std::string::npos) {
    return false;
  }
  Options options = config_options(*made);
  if (!changed_options(config_options(*given), options).empty()) {
    return false;
  }
  auto there = [&](const char* file) { return fs::exists(tree / file); };
  bool needs_objtool = options.contains("CONFIG_OBJTOOL") && !options["CONFIG_OBJTOOL"].empty();
  return there("include/config/auto.conf") && there("include/generated/asm-offsets.h") &&
         there("scripts/basic/fixdep") && there("Module.symvers") &&
         (!needs_objtool || there("tools/objtool/objtool"));
}

Status prepare_tree(const fs::path& tree, const fs::path& config, const fs::path& symvers,
                    const std::string& release, const fs::path& toolchain,
                    const Progress& progress) {
  std::string given = TRY(read_text(config));
  ConfigIdentity identity = TRY(config_identity(given, config.string()));
  std::string version = TRY(source_version(tree));
  if (version != identity.version) {
    return fail(Code::config_mismatch, config.string(),
                fmt::format("the configuration is of Linux {}, the source of Linux {}",
                            identity.version, version),
                fmt::format("give the source of Linux {}", identity.version));
  }
  if (tree.string().find_first_of(" :") != std::string::npos) {
    return fail(Code::prepare_failed, tree.string(),
                "kbuild takes no path with blanks or colons in it",
                "set XDG_CACHE_HOME to a directory without them");
  }
  Options options = config_options(given);
  if (auto missing = toolchain.empty() ? missing_on_machine(given) : std::vector<std::string>{};
      !missing.empty()) {
    return fail(Code::missing_tool, missing.front(),
                fmt::format("preparing a kernel's source needs {}", fmt::join(missing, ", ")),
                fmt::format("apt-get install {}", fmt::join(missing, " ")));
  }
  std::string compiler = TRY(find_compiler(identity.compiler_text, toolchain));
  TRY(write_file(tree / ".config", std::string_view(given)));
  TRY(copy_into(symvers, tree / "Module.symvers"));

  Command make = kbuild_command(tree, identity.arch, compiler, release);
  progress("configuring the source");
  TRY(run_make(make, {"olddefconfig"}, tree, toolchain));
  std::string made = TRY(read_text(tree / ".config"));
  if (std::string changed = changed_options(options, config_options(made)); !changed.empty()) {
    return fail(Code::config_mismatch, config.string(),
                fmt::format("the source does not take this configuration as it is: {}", changed),
                "give configuration and source of one kernel, and install the tools that built it");
  }
  progress("preparing the source");
  // Nothing here resolves BTF ids, and building the tool for it takes most of the time. Nor is Rust
  // compiled: the configuration has it, the makefiles are told that it is off.
  TRY(run_make(make,
               {fmt::format("-j{}", std::max(1U, std::thread::hardware_concurrency())),
                "CONFIG_RUST=", "-o", "tools/bpf/resolve_btfids", "prepare", "modules_prepare"},
               tree, toolchain));
  // kbuild makes this up from the source's version alone; external modules are stamped with it.
  TRY(write_file(tree / "include/config/kernel.release", release + "\n"));
  if (!is_prepared(tree, config, release)) {
    return fail(Code::prepare_failed, tree.string(), "make ended well and left the tree unprepared",
                "remove the tree and start from the unchanged source");
  }
  return make_units({.tree = tree, .config = config, .release = release, .toolchain = toolchain},
                    progress);
}

}  // namespace suture::kernel
