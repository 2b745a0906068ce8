// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/apt.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <sstream>

#include "base/digest.h"
#include "base/process.h"

namespace suture::kernel {

namespace {

Command apt_command(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  command.env = {{"LC_ALL", "C"}, {"DEBIAN_FRONTEND", "noninteractive"}};
  return command;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

constexpr const char* apt_remedy = "run 'apt-get update' and try again";

}  // namespace

Result<std::string> package_field(const std::string& name, const std::string& field) {
  Finished shown =
      TRY(run(apt_command({"apt-cache", "show", "--no-all-versions", "--", name})));
  const std::string start = field + ": ";
  for (const std::string& line : lines_of(shown.out)) {
    if (shown.exit_status == 0 && line.starts_with(start)) {
      return line.substr(start.size());
    }
  }
  return std::string{};
}

Result<std::vector<std::string>> package_names(const std::string& prefix) {
  Finished listed = TRY(run_checked(apt_command({"apt-cache", "pkgnames", "--", prefix}),
                                    Code::package_failed, prefix, apt_remedy));
  return lines_of(listed.out);
}

// "linux-source-6.1 |  6.1.192-2 | http://deb.debian.org/debian-security ... Packages"
Result<std::vector<std::string>> package_versions(const std::string& name) {
  Finished listed = TRY(run(apt_command({"apt-cache", "madison", "--", name})));
  std::vector<std::string> versions;
  for (const std::string& line : lines_of(listed.out)) {
    std::size_t first = line.find(" | ");
    std::size_t second = first == std::string::npos ? first : line.find(" | ", first + 3);
    if (second == std::string::npos || !line.ends_with("Packages")) {
      continue;
    }
    std::size_t start = line.find_first_not_of(' ', first + 3);
    std::string version = line.substr(start, second - start);
    if (versions.empty() || versions.back() != version) {
      versions.push_back(std::move(version));
    }
  }
  return versions;
}

// 'http://.../linux-source-6.1_6.1.192-2_all.deb' linux-source-6.1_6.1.192-2_all.deb 139331676 SHA256:ae95...
Result<Package> locate_package(const std::string& name, const std::string& version) {
  Finished printed = TRY(run_checked(
      apt_command({"apt-get", "download", "--print-uris", fmt::format("{}={}", name, version)}),
      Code::package_failed, name,
      "the archive no longer has this version, or apt's lists are old: run 'apt-get update'"));
  for (const std::string& line : lines_of(printed.out)) {
    std::istringstream words(line);
    Package package{name, version, {}, 0, {}};
    std::string uri;
    if (line.starts_with('\'') &&
        words >> uri >> package.file >> package.size >> package.sha256 &&
        package.sha256.starts_with("SHA256:") && package.file.find('/') == std::string::npos) {
      package.sha256.erase(0, std::string_view("SHA256:").size());
      return package;
    }
  }
  return fail(Code::package_failed, name,
              fmt::format("apt does not say where {} {} is, or states no SHA-256 of it", name, version),
              apt_remedy);
}

// Fetched into a directory of its own and moved when its hash is right, so that `downloads` never
// holds a half file under its full name.
Result<fs::path> fetch_package(const Package& package, const fs::path& downloads) {
  TRY(make_directories(downloads));
  fs::path kept = downloads / package.file;
  if (auto hash = sha256_file(kept); hash && *hash == package.sha256) {
    return kept;
  }
  TempDir scratch = TRY(TempDir::create(downloads, ".new"));
  std::error_code ec;
  fs::space_info space = fs::space(downloads, ec);
  if (!ec && space.available < package.size) {
    return fail_errno(ENOSPC, downloads.string(), "fetch " + package.file);
  }
  Command get = apt_command({"apt-get", "download"});
  if (::geteuid() == 0) {
    // apt would drop to its own user, who may not read the cache of another.
    get.argv.insert(get.argv.end(), {"-o", "APT::Sandbox::User=root"});
  }
  get.argv.push_back(fmt::format("{}={}", package.name, package.version));
  get.directory = scratch.path();
  TRY(run_checked(get, Code::package_failed, package.name,
                  "check the network and the space on disk, run 'apt-get update' and try again"));
  fs::path fetched = scratch.path() / package.file;
  std::string hash = TRY(sha256_file(fetched));
  if (hash != package.sha256) {
    return fail(Code::bad_package, package.file,
                fmt::format("its SHA-256 is {}, apt states {}", hash, package.sha256), apt_remedy);
  }
  TRY(rename_path(fetched, kept));
  return kept;
}

}  // namespace suture::kernel
