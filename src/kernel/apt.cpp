// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/apt.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/digest.h"
#include "base/process.h"
#include "kernel/cache.h"

namespace suture::kernel {

namespace {

Command apt_command(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  command.env = {{"LC_ALL", "C"}, {"DEBIAN_FRONTEND", "noninteractive"}};
  return command;
}

// apt would drop to its own user, who may not write to the cache of another.
void stay_root(Command& command) {
  if (::geteuid() == 0) {
    command.argv.insert(command.argv.end(), {"-o", "APT::Sandbox::User=root"});
  }
}

constexpr const char* apt_remedy = "run 'apt-get update' and try again";

// One line of a package's record.
void read_field(const std::string& line, Package& package) {
  std::size_t colon = line.find(": ");
  if (colon == std::string::npos || line.starts_with(' ')) {
    return;
  }
  std::string name = line.substr(0, colon);
  std::string value = line.substr(colon + 2);
  if (name == "Package") {
    package.name = value;
  } else if (name == "Version") {
    package.version = value;
  } else if (name == "Source") {
    package.source = value.substr(0, value.find(' '));  // a version of its own may follow
  } else if (name == "Depends") {
    package.depends = value;
  } else if (name == "Filename") {
    package.file = value.substr(value.rfind('/') + 1);
  } else if (name == "Size") {
    std::from_chars(value.data(), value.data() + value.size(), package.size);
  } else if (name == "SHA256") {
    package.sha256 = value;
  }
}

bool is_fetched(const Package& package, const fs::path& downloads) {
  auto hash = sha256_file(downloads / package.file);
  return hash && *hash == package.sha256;
}

// What apt just wrote: it keeps its own mind about the file's name where a version has an epoch.
Result<fs::path> find_by_hash(const Package& package, const fs::path& directory) {
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ec)) {
    if (entry.path().filename().string().starts_with(package.name + "_")) {
      std::string hash = TRY(sha256_file(entry.path()));
      if (hash == package.sha256) {
        return entry.path();
      }
      return fail(
          Code::bad_package, package.file,
          fmt::format("its SHA-256 is {}, the archive's index states {}", hash, package.sha256),
          apt_remedy);
    }
  }
  return fail(Code::package_failed, package.name, "apt fetched nothing", apt_remedy);
}

std::uintmax_t bytes_in(const fs::path& directory) {
  std::uintmax_t bytes = 0;
  std::error_code ec;
  for (fs::recursive_directory_iterator at(directory, ec), end; !ec && at != end;
       at.increment(ec)) {
    std::error_code gone;
    const std::uintmax_t size = at->is_regular_file(gone) ? at->file_size(gone) : 0;
    bytes += gone ? 0 : size;
  }
  return bytes;
}

// Tells how much of `expected` bytes is in the directory, at each tenth, while it lives. apt itself
// says so only on a terminal of its own.
class Watch {
 public:
  Watch(fs::path directory, std::uintmax_t expected, Progress progress)
      : thread_([directory = std::move(directory), expected,
                 progress = std::move(progress)](const std::stop_token& stop) {
          std::uintmax_t told = 0;
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any ended;
          while (!ended.wait_for(lock, stop, std::chrono::milliseconds(300),
                                 [&] { return stop.stop_requested(); })) {
            const std::uintmax_t tenths =
                bytes_in(directory) * 10 / std::max<std::uintmax_t>(expected, 1);
            if (tenths > told && tenths <= 10) {
              told = tenths;
              progress(fmt::format("fetching: {} % of {} MiB", told * 10, (expected >> 20) + 1));
            }
          }
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace

Result<std::vector<Package>> find_packages(const std::vector<std::string>& names) {
  Command show = apt_command({"apt-cache", "show", "--"});
  show.argv.insert(show.argv.end(), names.begin(), names.end());
  // The status is not zero where one name of several is unknown.
  Finished shown = TRY(run(show));
  std::vector<Package> packages;
  Package package;
  std::istringstream stream(shown.out + "\n\n");
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) {
      read_field(line, package);
      continue;
    }
    // An installed version that the archive no longer has comes without a file.
    if (!package.file.empty() && !package.version.empty() && package.sha256.size() == 64) {
      packages.push_back(std::move(package));
    }
    package = {};
  }
  return packages;
}

Result<std::vector<std::string>> package_names(const std::string& prefix) {
  Finished listed = TRY(run_checked(apt_command({"apt-cache", "pkgnames", "--", prefix}),
                                    Code::package_failed, prefix, apt_remedy));
  std::vector<std::string> names;
  std::istringstream stream(listed.out);
  for (std::string line; std::getline(stream, line);) {
    names.push_back(line);
  }
  return names;
}

// Fetched into a directory of their own and moved when the hash is right, so that `downloads` never
// holds a half file under its full name.
Result<std::vector<fs::path>> fetch_packages(const std::vector<Package>& packages,
                                             const fs::path& downloads, const Progress& progress) {
  TRY(make_directories(downloads));
  std::vector<const Package*> missing;
  std::uint64_t size = 0;
  for (const Package& package : packages) {
    if (!is_fetched(package, downloads)) {
      missing.push_back(&package);
      size += package.size;
    }
  }
  std::error_code ec;
  fs::space_info space = fs::space(downloads, ec);
  if (!ec && space.available < size) {
    return fail_errno(ENOSPC, downloads.string(), "fetch packages");
  }
  if (!missing.empty()) {
    TempDir scratch = TRY(TempDir::create(downloads, temporary_prefix));
    Command get = apt_command({"apt-get", "download"});
    stay_root(get);
    for (const Package* package : missing) {
      get.argv.push_back(fmt::format("{}={}", package->name, package->version));
    }
    get.directory = scratch.path();
    // What is under way goes there, too, so that it can be watched.
    get.argv.insert(get.argv.begin() + 1,
                    {"-o", "Dir::Cache::Archives=" + scratch.path().string()});
    TRY(make_directories(scratch.path() / "partial"));
    const Watch watch(scratch.path(), size, progress);
    TRY(run_checked(get, Code::package_failed, missing.front()->name,
                    "check the network, run 'apt-get update' and try again"));
    for (const Package* package : missing) {
      fs::path fetched = TRY(find_by_hash(*package, scratch.path()));
      TRY(rename_path(fetched, downloads / package->file));
    }
  }
  std::vector<fs::path> files;
  for (const Package& package : packages) {
    files.push_back(downloads / package.file);
  }
  return files;
}

namespace {

// Where the machine takes its packages from, as a list of the sources that belong to them.
Result<std::string> source_lists() {
  Finished targets = TRY(
      run_checked(apt_command({"apt-get", "indextargets", "--format",
                               "deb-src $(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"}),
                  Code::package_failed, "apt-get indextargets", apt_remedy));
  return std::move(targets.out);
}

}  // namespace

Result<fs::path> fetch_packaging(const Package& package, const fs::path& downloads) {
  // The file's name leaves an epoch out; kernels have none.
  fs::path kept = downloads / fmt::format("{}_{}.debian.tar.xz", package.source, package.version);
  if (fs::exists(kept)) {
    return kept;
  }
  TRY(make_directories(downloads));
  TempDir scratch = TRY(TempDir::create(downloads, temporary_prefix));
  TRY(make_directories(scratch.path() / "lists/partial"));
  std::string lists = TRY(source_lists());
  TRY(write_file(scratch.path() / "sources.list", std::string_view(lists)));
  auto apt_get = [&](std::vector<std::string> words) {
    Command command = apt_command({"apt-get", "--quiet"});
    stay_root(command);
    for (const std::string& option :
         {fmt::format("Dir::Etc::SourceList={}/sources.list", scratch.path().string()),
          std::string("Dir::Etc::SourceParts=-"),
          fmt::format("Dir::State::Lists={}/lists", scratch.path().string()),
          std::string("Dir::Cache::pkgcache="), std::string("Dir::Cache::srcpkgcache=")}) {
      command.argv.insert(command.argv.end(), {"-o", option});
    }
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    command.directory = scratch.path();
    return command;
  };
  TRY(run_checked(apt_get({"update"}), Code::package_failed, package.source,
                  "check the network and try again"));
  TRY(run_checked(apt_get({"source", "--download-only", "--diff-only",
                           fmt::format("{}={}", package.source, package.version)}),
                  Code::unknown_release, fmt::format("{} {}", package.source, package.version),
                  "use a release whose source package the archive has"));
  TRY(rename_path(scratch.path() / kept.filename(), kept));
  return kept;
}

}  // namespace suture::kernel
