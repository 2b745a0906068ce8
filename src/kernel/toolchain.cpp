// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch is compiled by the compiler that made the kernel, to the letter. A machine has
// the one of its own release, and a build host serves kernels of several releases.
//
// Method: where the machine has just that compiler, and what preparing a source needs, it is used.
// Else mmdebstrap extracts the compiler's packages, of the archive that the kernel came from, into
// a directory of the cache; apt verifies them. No script of a package runs, so nobody needs to be
// root. Commands run in there by bubblewrap, with all paths that they get under the names that they
// have outside.
//
// Invariants: a root is put in place whole, by one rename, and never changes. What is compiled in a
// root sees nothing of the machine but what it was given.
#include "kernel/toolchain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "kernel/cache.h"
#include "kernel/prepare.h"

namespace suture::kernel {

namespace {

constexpr int toolchain_schema = 1;

// Beside the compiler: what kbuild runs, and what its programs are compiled with.
constexpr std::string_view root_packages =
    "gcc,binutils,libc6-dev,make,python3,flex,bison,bc,libelf-dev,libssl-dev,openssl,libxxhash-dev,"
    "zlib1g-dev,dwarves,perl,bash,dash,coreutils,sed,grep,mawk,findutils,diffutils,pkgconf,gzip,"
    "xz-utils,zstd,tar,cpio,kmod";

// Debian's merged /usr, which no package of its older releases brings; and the one link that
// packages leave to scripts.
constexpr std::string_view lay_out_root =
    "cd \"$1\" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 && "
    "ln -s usr/bin usr/sbin usr/lib usr/lib64 . && ln -s mawk usr/bin/awk";

fs::path directory_of(const std::string& name) { return toolchains_directory() / name; }

// "(Debian 12.2.0-14+deb12u1) 12.2.0" of "gcc-12 (Debian ...": what does not depend on the name by
// which it was called.
std::string_view without_program(std::string_view text) {
  const std::size_t blank = text.find(' ');
  return blank == std::string_view::npos ? std::string_view{} : text.substr(blank + 1);
}

// How a program on the machine names itself ("gcc-12 (Debian 12.2.0-14) 12.2.0"); empty where it
// is not there.
Result<std::string> version_on_machine(const std::string& program) {
  auto said = run({.argv = {program, "--version"}});
  if (!said) {
    return said.error().code == Code::missing_tool ? Result<std::string>{}
                                                   : std::unexpected(said.error());
  }
  return said->exit_status == 0 ? said->out.substr(0, said->out.find('\n')) : std::string{};
}

std::string major_of(std::string_view version_text) {
  const std::string_view version = version_text.substr(version_text.find_last_of(' ') + 1);
  return std::string(version.substr(0, version.find('.')));
}

std::vector<std::string> candidates(const CompilerName& name) {
  return {name.program, "gcc-" + name.major, "gcc"};
}

Result<bool> machine_has(const std::string& compiler_text) {
  for (const std::string& program : candidates(TRY(compiler_name(compiler_text)))) {
    if (without_program(TRY(version_on_machine(program))) == without_program(compiler_text)) {
      return true;
    }
  }
  return false;
}

bool is_there(const std::string& name) { return fs::exists(directory_of(name) / "toolchain.json"); }

std::unexpected<Error> damaged(const fs::path& root) {
  return fail(Code::missing_tool, root.string(), "this toolchain is damaged: programs are missing",
              fmt::format("rm -r {}; then remove its kernels and add them again",
                          root.parent_path().string()));
}

// That a root is there, and can be used on this machine.
Status check_root(const fs::path& root) {
  TRY(check_cache_owner(root));
  if (!fs::exists(root.parent_path() / "toolchain.json")) {
    return fail(Code::missing_tool, root.string(),
                "the toolchain that this kernel is compiled with is not in the cache",
                "remove the kernel (suture kernel remove) and add it again");
  }
  if (!fs::exists(root / "usr/bin/env")) {
    return damaged(root);
  }
  TRY(find_program("bwrap", "bubblewrap"));
  Finished tried = TRY(run(in_toolchain(root, {.argv = {"true"}}, {}, {})));
  if (tried.exit_status == 0) {
    return {};
  }
  return fail(
      Code::missing_tool, root.string(),
      fmt::format("bubblewrap can make no sandbox here: {}",
                  tried.out.substr(0, tried.out.find('\n'))),
      "allow user namespaces (docs/install.md), or build on a machine whose own compiler is "
      "the kernel's");
}

// The version of the Rust compiler that a configuration names ("1.85.1"); empty for a kernel
// without Rust in it. Without one kbuild takes away options that C code asks for, too.
std::string rust_version(std::string_view config) {
  constexpr std::string_view mark = "\nCONFIG_RUSTC_VERSION_TEXT=\"rustc ";
  const std::size_t at = config.find(mark);
  if (at == std::string_view::npos || !has_option(config, "CONFIG_RUST")) {
    return {};
  }
  const std::string_view version = config.substr(at + mark.size());
  return std::string(version.substr(0, version.find_first_not_of("0123456789.")));
}

// What a toolchain is made of, beside what all are.
struct Wanted {
  std::string text;                        // as the configuration names the compiler
  std::string compiler, compiler_version;  // its package and version; Debian's, else empty
  std::string rust, rust_package_version;  // version of the compiler; empty where there is none

  std::string name() const {
    return fmt::format("{}_{}{}{}", compiler, compiler_version, rust.empty() ? "" : "+rustc-",
                       rust);
  }
  std::string packages() const {
    std::string out = fmt::format("{}={},{}", compiler, compiler_version, root_packages);
    if (!rust.empty()) {
      out += fmt::format(",rustc={0},rust-src={0},bindgen", rust_package_version);
    }
    return out;
  }
};

// The kernel's own version of the compiler, else the newest of the same major version.
Result<std::string> compiler_package(const Wanted& wanted, const Archive& archive,
                                     const Progress& progress) {
  const std::vector<Package> known = TRY(archive.find_packages({wanted.compiler}));
  if (known.empty()) {
    return fail(Code::compiler_mismatch, wanted.compiler,
                fmt::format("the kernel was compiled by '{}', and neither this machine nor the "
                            "package archive has it",
                            wanted.text),
                "name a suite of Debian that has it (--suite), or run 'apt-get update'");
  }
  auto exact = std::ranges::find(known, wanted.compiler_version, &Package::version);
  if (exact != known.end()) {
    return exact->version;
  }
  const std::string& version = known.front().version;
  progress(
      wanted.compiler_version.empty()
          ? fmt::format("'{}' is not Debian's: taking {} {}, which may make other code",
                        wanted.text, wanted.compiler, version)
          : fmt::format("the archive has no {} {} any more: taking {}, which may make other code",
                        wanted.compiler, wanted.compiler_version, version));
  return version;
}

// The root that a kernel of that configuration needs; none where the machine's own programs do.
Result<std::optional<Wanted>> wanted_by(const std::string& config, const std::string& where) {
  const std::string text = TRY(config_identity(config, where)).compiler_text;
  if (TRY(machine_has(text)) && missing_on_machine(config).empty()) {
    return std::nullopt;
  }
  const CompilerName compiler = TRY(compiler_name(text));
  return Wanted{.text = text,
                .compiler = compiler.package,
                .compiler_version = compiler.version,
                .rust = rust_version(config),
                .rust_package_version = {}};
}

Result<std::string> rust_package(const std::string& version, const Archive& archive,
                                 const Progress& progress) {
  const std::vector<Package> known = TRY(archive.find_packages({"rustc"}));
  auto exact = std::ranges::find_if(known, [&](const Package& package) {
    return package.version.starts_with(version + "+") || package.version.starts_with(version + "-");
  });
  if (exact != known.end()) {
    return exact->version;
  }
  const auto nearest = TRY(archive.preferred("rustc"));
  if (!nearest) {
    return fail(Code::compiler_mismatch, "rustc",
                "parts of this kernel are written in Rust, and the package archive has no rustc",
                archive.remedy());
  }
  progress(
      fmt::format("the archive has no rustc {} any more: taking {}", version, nearest->version));
  return nearest->version;
}

Status make_root(const Wanted& wanted, const Archive& archive, const fs::path& directory,
                 const Progress& progress) {
  TRY(find_program("mmdebstrap", "mmdebstrap"));
  const std::string sources = TRY(archive.sources());
  TRY(write_file(directory / "sources.list", std::string_view(sources)));
  const std::string fetching = TRY(Archive::ways_to_fetch());
  TRY(write_file(directory / "apt.conf", std::string_view(fetching)));
  const fs::path root = directory / "root";
  Command make{
      .argv = {"mmdebstrap", "--mode=chrootless", "--skip=check/chrootless", "--variant=extract",
               "--format=directory", fmt::format("--setup-hook={}", lay_out_root),
               fmt::format("--aptopt={}", (directory / "apt.conf").string()),
               "--include=" + wanted.packages(), "", root.string(),
               (directory / "sources.list").string()},
      .env = {{"LC_ALL", "C"}},
      .callers_environment = true};
  std::string complaints;
  const std::string about = "toolchain " + wanted.name();
  progress("making the " + about);
  Finished made = TRY(run_lines(make, [&](std::string_view line) {
    if (line.starts_with("I: ") && line.ends_with("...")) {
      line.remove_prefix(3);
      progress(fmt::format("{}: {}", about, line.substr(0, line.size() - 3)));
    } else if (line.starts_with("E: ") && complaints.size() < 2000) {
      complaints.append(line.substr(3)).append("\n");
    }
  }));
  if (made.exit_status != 0) {
    return fail(Code::package_failed, about,
                fmt::format("mmdebstrap ended with status {}:\n{}", made.exit_status, complaints),
                archive.remedy());
  }
  return {};
}

// Makes it whole or not at all.
Status make_toolchain(const Wanted& wanted, const Archive& archive, const Progress& progress) {
  remove_leftovers(toolchains_directory());
  TempDir made = TRY(make_entry_directory(toolchains_directory()));
  TRY(make_root(wanted, archive, made.path(), progress));
  const Json json = {
      {"schema", toolchain_schema}, {"packages", wanted.packages()}, {"suite", archive.suite()}};
  TRY(write_file(made.path() / "toolchain.json", json.text() + "\n"));
  TRY(rename_path(made.path(), directory_of(wanted.name())));
  made.release();
  return {};
}

}  // namespace

Result<CompilerName> compiler_name(const std::string& compiler_text) {
  CompilerName name;
  name.program = compiler_text.substr(0, compiler_text.find(' '));
  name.major = major_of(compiler_text);
  const bool decimal = !name.major.empty() &&
                       std::ranges::all_of(name.major, [](char c) { return c >= '0' && c <= '9'; });
  if (name.program.find("gcc") == std::string::npos || name.program.contains('/') || !decimal) {
    return fail(Code::compiler_mismatch, compiler_text,
                "this kernel was not compiled by gcc, and no other compiler is supported",
                "use a kernel that was compiled by gcc");
  }
  name.package = "gcc-" + name.major;
  constexpr std::string_view mark = "(Debian ";
  const std::size_t at = compiler_text.find(mark);
  const std::size_t end = compiler_text.find(')', at == std::string::npos ? 0 : at);
  if (at != std::string::npos && end != std::string::npos) {
    name.version = compiler_text.substr(at + mark.size(), end - at - mark.size());
    const bool clean = std::ranges::all_of(name.version, [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
             std::string_view("+-.~").contains(c);
    });
    if (!clean) {
      name.version.clear();
    }
  }
  return name;
}

Result<std::string> choose_toolchain(const std::string& config, const std::string& where,
                                     const Archive& archive, const Progress& progress) {
  auto wanted = TRY(wanted_by(config, where));
  if (!wanted) {
    return std::string{};
  }
  if (is_there(wanted->name())) {
    return wanted->name();
  }
  wanted->compiler_version = TRY(compiler_package(*wanted, archive, progress));
  if (!is_there(wanted->name())) {
    if (!wanted->rust.empty()) {
      wanted->rust_package_version = TRY(rust_package(wanted->rust, archive, progress));
    }
    TRY(make_toolchain(*wanted, archive, progress));
  }
  return wanted->name();
}

Result<std::string> known_toolchain(const std::string& config, const std::string& where) {
  const auto wanted = TRY(wanted_by(config, where));
  return wanted && is_there(wanted->name()) ? wanted->name() : std::string{};
}

fs::path toolchain_root(const std::string& name) {
  return name.empty() ? fs::path{} : directory_of(name) / "root";
}

Result<std::string> find_compiler(const std::string& compiler_text, const fs::path& root) {
  const CompilerName name = TRY(compiler_name(compiler_text));
  if (!root.empty()) {
    TRY(check_root(root));
  }
  for (const std::string& program : candidates(name)) {
    std::error_code ec;
    const bool found = root.empty() ? major_of(TRY(version_on_machine(program))) == name.major
                                    : fs::exists(root / "usr/bin" / program, ec);
    if (found) {
      return program;
    }
  }
  if (!root.empty()) {
    return damaged(root);
  }
  return fail(Code::compiler_mismatch, name.package,
              fmt::format("the kernel was compiled by '{}', which is not installed", compiler_text),
              fmt::format("add the kernel to the cache, which fetches its compiler (suture kernel "
                          "add), or: apt-get install {}",
                          name.package));
}

Result<std::string> find_compiler(const Kernel& kernel) {
  const std::string config = TRY(read_text(kernel.config));
  return find_compiler(TRY(config_identity(config, kernel.config.string())).compiler_text,
                       kernel.toolchain);
}

Command in_toolchain(const fs::path& root, Command command, const std::vector<fs::path>& readable,
                     const std::vector<fs::path>& writable) {
  if (root.empty()) {
    return command;
  }
  std::vector<std::string> argv{
      "bwrap",         "--unshare-ipc",        "--unshare-pid",     "--unshare-net",
      "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session"};
  // Root has the rights without one, also where none can be made, as in a chroot. Nothing of these
  // rights is left to what runs inside.
  if (::geteuid() == 0) {
    argv.insert(argv.end(), {"--cap-drop", "ALL"});
  } else {
    argv.emplace_back("--unshare-user");
  }
  argv.insert(argv.end(), {"--ro-bind", (root / "usr").string(), "/usr"});
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    argv.insert(argv.end(), {"--symlink", fmt::format("usr/{}", name), fmt::format("/{}", name)});
  }
  argv.insert(argv.end(), {"--ro-bind", (root / "etc").string(), "/etc", "--proc", "/proc", "--dev",
                           "/dev", "--tmpfs", "/tmp", "--setenv", "TMPDIR", "/tmp", "--setenv",
                           "PATH", "/usr/sbin:/usr/bin"});
  for (const fs::path& path : readable) {
    argv.insert(argv.end(), {"--ro-bind", path.string(), path.string()});
  }
  for (const fs::path& path : writable) {
    argv.insert(argv.end(), {"--bind", path.string(), path.string()});
  }
  if (!command.directory.empty()) {
    argv.insert(argv.end(), {"--chdir", command.directory.string()});
    command.directory.clear();
  }
  argv.emplace_back("--");
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  command.argv = std::move(argv);
  return command;
}

Command in_toolchain(const Kernel& kernel, Command command, const fs::path& writable) {
  if (kernel.toolchain.empty()) {
    // Where the compiler's own files are removed with all else, even if it is killed.
    command.env.emplace_back("TMPDIR", writable.string());
    return command;
  }
  return in_toolchain(kernel.toolchain, std::move(command), {kernel.source, kernel.derived},
                      {writable});
}

}  // namespace suture::kernel
