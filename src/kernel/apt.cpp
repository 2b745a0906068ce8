// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/apt.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "base/digest.h"
#include "base/process.h"
#include "base/text.h"
#include "kernel/cache.h"

namespace suture::kernel {

namespace {

Command apt_command(std::string program, const std::vector<std::string>& options,
                    std::vector<std::string> words) {
  Command command;
  command.argv = {std::move(program)};
  command.argv.insert(command.argv.end(), options.begin(), options.end());
  std::ranges::move(words, std::back_inserter(command.argv));
  command.callers_environment = true;  // proxies, and its own configuration
  command.env = {{"LC_ALL", "C"}, {"DEBIAN_FRONTEND", "noninteractive"}};
  return command;
}

// Options of apt that have it know only what lies in `state`.
std::vector<std::string> options_of(const fs::path& state) {
  std::vector<std::string> options;
  for (const std::string& option :
       {fmt::format("Dir::Etc::SourceList={}/sources.list", state.string()),
        std::string("Dir::Etc::SourceParts=-"), std::string("Dir::Etc::Preferences=-"),
        std::string("Dir::Etc::PreferencesParts=-"), std::string("APT::Default-Release="),
        std::string("Dir::State::Status=/dev/null"),
        fmt::format("Dir::State::Lists={}/lists", state.string()),
        fmt::format("Dir::Cache={}/cache", state.string())}) {
    options.insert(options.end(), {"-o", option});
  }
  return options;
}

Status make_state(const fs::path& state, const std::string& sources) {
  TRY(make_directories(state / "lists/partial"));
  TRY(make_directories(state / "cache/archives/partial"));
  return write_file(state / "sources.list", std::string_view(sources));
}

// apt would drop to its own user, who may not write to the cache of another.
void stay_root(Command& command) {
  if (::geteuid() == 0) {
    command.argv.insert(command.argv.end(), {"-o", "APT::Sandbox::User=root"});
  }
}

constexpr const char* apt_remedy = "run 'apt-get update' and try again";
constexpr const char* network_remedy = "check the network and try again";

// One of the machine's sources of packages that are Debian's own.
struct Source {
  std::string site, release, component;
  bool security = false;
};

Result<std::vector<Source>> debian_sources() {
  const std::string format = "$(SITE)\t$(RELEASE)\t$(COMPONENT)\t$(LABEL)";
  Finished targets = TRY(run_checked(
      apt_command("apt-get", {},
                  {"indextargets", "--format", format, "Created-By: Packages", "Origin: Debian"}),
      Code::package_failed, "apt-get indextargets", apt_remedy));
  std::set<std::string> lines;  // one for each architecture
  std::vector<Source> sources;
  for_each_line(targets.out, [&](std::string_view line) {
    if (!lines.emplace(line).second) {
      return;
    }
    std::vector<std::string> fields;
    while (!line.empty()) {
      const std::size_t tab = line.find('\t');
      fields.emplace_back(line.substr(0, tab));
      line.remove_prefix(tab == std::string_view::npos ? line.size() : tab + 1);
    }
    if (fields.size() == 4) {
      sources.push_back({.site = fields[0],
                         .release = fields[1],
                         .component = fields[2],
                         .security = fields[3] == "Debian-Security"});
    }
  });
  return sources;
}

// "deb [signed-by=...] SITE RELEASE COMPONENT". Debian's keyring has the keys of all its suites,
// while the machine's configuration may name the key of its own one alone.
std::string source_line(const Source& source) {
  const fs::path keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  std::error_code ec;
  return fmt::format(
      "deb {}{} {} {}\n",
      fs::exists(keyring, ec) ? fmt::format("[signed-by={}] ", keyring.string()) : "", source.site,
      source.release, source.component);
}

// "trixie" of "trixie-backports".
std::string base_of(std::string_view suite) {
  for (const std::string_view part :
       {"-backports-sloppy", "-backports", "-proposed-updates", "-updates", "-security"}) {
    if (suite.ends_with(part)) {
      return std::string(suite.substr(0, suite.size() - part.size()));
    }
  }
  return suite == "experimental" ? "sid" : std::string(suite);
}

bool is_suite_name(std::string_view suite) {
  return !suite.empty() && suite.size() < 64 && suite.front() != '-' &&
         std::ranges::all_of(suite, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// The sources of a suite, on the mirrors that the machine uses.
Result<std::string> sources_of_suite(const std::string& suite) {
  std::string main, security;
  for (const Source& source : TRY(debian_sources())) {
    std::string& site = source.security ? security : main;
    site = site.empty() ? source.site : site;
  }
  if (main.empty()) {
    return fail(Code::package_failed, suite, "apt knows no mirror of Debian",
                "add one to apt's sources, run 'apt-get update' and try again");
  }
  const std::string base = base_of(suite);
  std::set<std::string> on_main{base};
  std::set<std::string> on_security;
  if (base != "sid" && base != "unstable") {
    on_main.insert(base + "-updates");
    on_security.insert(base + "-security");
  }
  if (!suite.ends_with("-security")) {
    on_main.insert(suite);
  }
  std::string lines;
  for (const std::string& release : on_main) {
    lines += source_line({.site = main, .release = release, .component = "main"});
  }
  for (const std::string& release : on_security) {
    if (!security.empty()) {
      lines += source_line({.site = security, .release = release, .component = "main"});
    }
  }
  return lines;
}

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

std::string Archive::remedy() const {
  return suite_.empty() ? apt_remedy : "check the name of the suite, and try again later";
}

std::vector<std::string> Archive::options() const {
  return state_.empty() ? std::vector<std::string>{} : options_of(state_);
}

Result<Archive> Archive::of_suite(const std::string& suite, const Progress& progress) {
  if (!is_suite_name(suite)) {
    return fail(Code::usage, suite, "this is no name of a suite",
                "name one of Debian's: trixie, trixie-backports, sid");
  }
  constexpr double seconds = 600;  // another process may be fetching the same index
  Archive archive;
  archive.suite_ = suite;
  archive.state_ = apt_directory() / suite;
  TRY(check_cache_owner(archive.state_));
  TRY(make_directories(archive.state_));
  FileLock lock = TRY(FileLock::acquire(archive.state_ / "lock", seconds));
  const std::string sources = TRY(sources_of_suite(suite));
  TRY(make_state(archive.state_, sources));
  progress(fmt::format("fetching the index of {}", suite));
  Command update = apt_command("apt-get", archive.options(), {"--quiet", "update"});
  update.argv.insert(update.argv.end(), {"-o", "APT::Update::Error-Mode=any"});
  stay_root(update);
  TRY(run_checked(update, Code::package_failed, suite,
                  "check the name of the suite and the network, and try again"));
  return archive;
}

namespace {

// What `apt-cache show` says.
std::vector<Package> read_packages(const std::string& said) {
  std::vector<Package> packages;
  Package package;
  std::istringstream stream(said + "\n\n");
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

}  // namespace

Result<std::vector<Package>> Archive::find_packages(const std::vector<std::string>& names) const {
  Command show = apt_command("apt-cache", options(), {"show", "--all-versions", "--"});
  show.argv.insert(show.argv.end(), names.begin(), names.end());
  // The status is not zero where one name of several is unknown.
  return read_packages(TRY(run(show)).out);
}

Result<std::optional<Package>> Archive::preferred(const std::string& name) const {
  const char* which = suite_.empty() ? "--no-all-versions" : "--all-versions";
  Finished shown = TRY(run(apt_command("apt-cache", options(), {"show", which, "--", name})));
  std::vector<Package> packages = read_packages(shown.out);
  return packages.empty() ? std::nullopt : std::optional(std::move(packages.front()));
}

Result<std::vector<std::string>> Archive::package_names(const std::string& prefix) const {
  Finished listed = TRY(run_checked(apt_command("apt-cache", options(), {"pkgnames", "--", prefix}),
                                    Code::package_failed, prefix, remedy()));
  std::vector<std::string> names;
  std::istringstream stream(listed.out);
  for (std::string line; std::getline(stream, line);) {
    names.push_back(line);
  }
  return names;
}

// Fetched into a directory of their own and moved when the hash is right, so that `downloads` never
// holds a half file under its full name.
Result<std::vector<fs::path>> Archive::fetch_packages(const std::vector<Package>& packages,
                                                      const fs::path& downloads,
                                                      const Progress& progress) const {
  TRY(make_directories(downloads));
  std::vector<const Package*> missing;
  std::uint64_t size = 0;
  for (const Package& package : packages) {
    if (!is_fetched(package, downloads)) {
      progress(fmt::format("fetching {} {} ({} MiB)", package.name, package.version,
                           (package.size >> 20) + 1));
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
    Command get = apt_command("apt-get", options(), {"download"});
    stay_root(get);
    for (const Package* package : missing) {
      get.argv.push_back(fmt::format("{}={}", package->name, package->version));
    }
    get.directory = scratch.path();
    // What is under way goes there, too, so that it can be watched.
    get.argv.insert(get.argv.end(), {"-o", "Dir::Cache::Archives=" + scratch.path().string()});
    TRY(make_directories(scratch.path() / "partial"));
    const Watch watch(scratch.path(), size, progress);
    TRY(run_checked(
        get, Code::package_failed, missing.front()->name,
        suite_.empty() ? "check the network, run 'apt-get update' and try again" : network_remedy));
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

Result<std::string> Archive::sources() const {
  if (!state_.empty()) {
    return read_text(state_ / "sources.list");
  }
  std::string lines;
  for (const Source& source : TRY(debian_sources())) {
    lines += source_line(source);
  }
  return lines;
}

Result<std::string> Archive::ways_to_fetch() {
  Finished said = TRY(run_checked(apt_command("apt-config", {}, {"dump", "Acquire"}),
                                  Code::package_failed, "apt-config", apt_remedy));
  return std::move(said.out);
}

// Asks the archive for sources too, without changing what apt knows.
Result<fs::path> Archive::fetch_packaging(const Package& package, const fs::path& downloads) const {
  // The file's name leaves an epoch out; kernels have none.
  fs::path kept = downloads / fmt::format("{}_{}.debian.tar.xz", package.source, package.version);
  if (fs::exists(kept)) {
    return kept;
  }
  TRY(make_directories(downloads));
  TempDir scratch = TRY(TempDir::create(downloads, temporary_prefix));
  std::string lines;
  const std::string binary = TRY(sources());
  for_each_line(binary, [&](std::string_view line) {
    lines += fmt::format("deb-src{}\n", line.substr(std::string_view("deb").size()));
  });
  TRY(make_state(scratch.path(), lines));
  auto apt_get = [&](std::vector<std::string> words) {
    Command command = apt_command("apt-get", options_of(scratch.path()), std::move(words));
    stay_root(command);
    command.directory = scratch.path();
    return command;
  };
  TRY(run_checked(apt_get({"--quiet", "update"}), Code::package_failed, package.source,
                  network_remedy));
  TRY(run_checked(apt_get({"--quiet", "source", "--download-only", "--diff-only",
                           fmt::format("{}={}", package.source, package.version)}),
                  Code::unknown_release, fmt::format("{} {}", package.source, package.version),
                  "use a release whose source package the archive has"));
  TRY(rename_path(scratch.path() / kept.filename(), kept));
  return kept;
}

}  // namespace suture::kernel
