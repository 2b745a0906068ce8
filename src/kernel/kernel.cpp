// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/kernel.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "base/json.h"
#include "base/text.h"
#include "kernel/cache.h"
#include "kernel/make_units.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"

namespace suture::kernel {

namespace {

constexpr int entry_schema = 1;

std::unexpected<Error> damaged_entry(const fs::path& root, std::string_view why) {
  return fail(Code::bad_package, root.string(),
              fmt::format("the cached kernel is damaged: {}", why),
              fmt::format("suture kernel remove {0}, then: suture kernel add {0}",
                          root.filename().string()));
}

// What linux-image-amd64 stands for.
constexpr std::string_view plain_flavour = "amd64";

// 6.1.0-9 before 6.1.0-10 before 6.12.0-1.
bool older(const std::string& a, const std::string& b) {
  return ::strverscmp(a.c_str(), b.c_str()) < 0;
}

bool contains_version(std::string_view text, std::string_view version) {
  auto is_part = [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
  };
  for (std::size_t at = text.find(version); at != std::string_view::npos;
       at = text.find(version, at + 1)) {
    std::size_t end = at + version.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end]))) {
      return true;
    }
  }
  return false;
}

}  // namespace

fs::path cache_directory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  // The specification has relative paths ignored.
  if (cache != nullptr && cache[0] == '/') {
    return fs::path(cache) / "suture";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr && home[0] == '/' ? home : "/root") / ".cache" / "suture";
}

fs::path kernels_directory() { return cache_directory() / "kernels"; }

fs::path downloads_directory() { return cache_directory() / "downloads"; }

fs::path toolchains_directory() { return cache_directory() / "toolchains"; }

fs::path apt_directory() { return cache_directory() / "apt"; }

fs::path derived_directory(const std::string& build_id) {
  return cache_directory() / "derived" / build_id;
}

Status check_cache_owner(const fs::path& path) {
  if (::geteuid() != 0) {
    return {};
  }
  const char* sudo = std::getenv("SUDO_UID");
  const std::string caller = sudo == nullptr ? "0" : sudo;
  const fs::path end = cache_directory().parent_path();
  for (fs::path at = path; at != end && at.has_relative_path(); at = at.parent_path()) {
    struct stat st {};
    if (::stat(at.c_str(), &st) != 0) {
      continue;  // not made yet
    }
    if (st.st_uid != 0 && caller != fmt::format("{}", st.st_uid)) {
      return fail(Code::untrusted_file, at.string(),
                  fmt::format("this cache belongs to user {}, who decides what is in it, and root "
                              "would run that",
                              st.st_uid),
                  "run it as that user, or set XDG_CACHE_HOME to a directory of root's");
    }
    if ((st.st_mode & S_IWOTH) != 0) {
      return fail(Code::untrusted_file, at.string(), "everybody may write to this cache",
                  fmt::format("look what was changed; then: chmod o-w {}", at.string()));
    }
  }
  return {};
}

Result<FileLock> lock_cache(const Progress& progress) {
  constexpr double seconds = 3600;  // another process may be unpacking a kernel and its modules
  TRY(make_directories(cache_directory()));
  TRY(check_cache_owner());
  const fs::path path = cache_directory() / "lock";
  auto lock = FileLock::try_acquire(path);
  if (lock || lock.error().code != Code::busy) {
    return lock;
  }
  if (progress) {
    progress("waiting for another suture that adds or removes a kernel");
  }
  return FileLock::acquire(path, seconds);
}

void remove_leftovers(const fs::path& directory) {
  std::error_code ec;
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ec)) {
    if (entry.path().filename().string().starts_with(temporary_prefix)) {
      old.push_back(entry.path());
    }
  }
  for (const fs::path& path : old) {
    fs::remove_all(path, ec);
  }
}

Result<TempDir> make_entry_directory(const fs::path& directory) {
  TRY(make_directories(directory));
  TempDir made = TRY(TempDir::create(directory, temporary_prefix));
  std::error_code ec;
  fs::permissions(made.path(), fs::perms(0755), ec);  // mkdtemp makes it for its owner only
  return made;
}

std::string series_of(const std::string& release) {
  std::size_t dot = release.find('.');
  std::size_t end = release.find_first_not_of("0123456789", dot == std::string::npos ? 0 : dot + 1);
  return release.substr(0, end);
}

std::string flavour_of(const std::string& release) {
  for (std::size_t dash = release.find('-'); dash != std::string::npos;
       dash = release.find('-', dash + 1)) {
    if (dash + 1 < release.size() &&
        std::isdigit(static_cast<unsigned char>(release[dash + 1])) == 0) {
      return release.substr(dash + 1);
    }
  }
  return {};
}

bool is_release_name(std::string_view release) {
  return !release.empty() && release.size() < 128 &&
         std::isdigit(static_cast<unsigned char>(release.front())) != 0 &&
         std::ranges::all_of(release, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                  std::strchr(".+~_-", c) != nullptr;
         });
}

Status write_entry(const fs::path& root, const Image& image, const EntryParts& parts) {
  Json json = {
      {"schema", entry_schema},
      {"release", image.release()},
      {"package_version", parts.packages.empty() ? "" : parts.packages.front().version},
      {"build_id", image.build_id()},
      {"compiler", image.compiler()},
      {"banner", image.banner()},
      {"suite", parts.suite},
      {"toolchain", parts.toolchain},
      {"packages", Json::array()},
  };
  for (const Package& package : parts.packages) {
    json["packages"].push_back(
        {{"name", package.name}, {"version", package.version}, {"sha256", package.sha256}});
  }
  return write_file(root / "kernel.json", json.text() + "\n");
}

Result<Kernel> read_entry(const std::string& release) {
  Kernel kernel;
  kernel.root = kernels_directory() / release;
  std::error_code ec;
  if (!is_release_name(release) || !fs::exists(kernel.root, ec)) {
    return fail(Code::not_cached, release, "this kernel is not in the cache",
                fmt::format("suture kernel add {}", release));
  }
  TRY(check_cache_owner(kernel.root));
  auto text = read_text(kernel.root / "kernel.json");
  if (!text) {
    return damaged_entry(kernel.root, text.error().reason);
  }
  const auto json = Json::parse(*text);
  if (!json) {
    return damaged_entry(kernel.root, "its kernel.json is not whole");
  }
  JsonReader entry(*json);
  if (entry.integer("schema") != entry_schema || entry.text("release") != release) {
    return damaged_entry(kernel.root, "its kernel.json is of another kind");
  }
  kernel.release = release;
  kernel.package_version = entry.text("package_version");
  kernel.build_id = entry.text("build_id");
  if (!entry.whole()) {
    return damaged_entry(kernel.root, "its kernel.json lacks " + entry.missing());
  }
  // Older entries do not say, and were made with the machine's own.
  const std::string toolchain = entry.text("toolchain");
  if (toolchain.contains('/') || toolchain == "..") {
    return damaged_entry(kernel.root, "its kernel.json names no toolchain of the cache");
  }
  kernel.toolchain = toolchain_root(toolchain);
  kernel.vmlinuz = kernel.root / "vmlinuz";
  kernel.vmlinux = kernel.root / "vmlinux";
  kernel.config = kernel.root / "config";
  kernel.symvers = kernel.root / "Module.symvers";
  kernel.modules = kernel.root / "modules";
  kernel.source = kernel.root / "source";
  kernel.units = units_file(kernel.source);
  for (const fs::path& part : {kernel.vmlinuz, kernel.vmlinux, kernel.config, kernel.symvers,
                               kernel.modules, kernel.source / "Makefile"}) {
    if (!fs::exists(part, ec)) {
      return damaged_entry(kernel.root, fmt::format("{} is missing", part.filename().string()));
    }
  }
  kernel.derived = derived_directory(kernel.build_id);
  TRY(check_cache_owner(kernel.derived));
  TRY(make_directories(kernel.derived));
  return kernel;
}

Result<bool> make_entry(const std::string& release, const Progress& progress,
                        const std::function<Status(const fs::path& root)>& make) {
  FileLock lock = TRY(lock_cache(progress));
  if (auto known = read_entry(release); known || known.error().code != Code::not_cached) {
    return false;
  }
  remove_leftovers(kernels_directory());
  TempDir entry = TRY(make_entry_directory());
  TRY(make(entry.path()));
  TRY(rename_path(entry.path(), kernels_directory() / release));
  entry.release();
  return true;
}

namespace {

// Oldest first.
std::vector<std::string> cached_releases() {
  std::vector<std::string> releases;
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(kernels_directory(), ec)) {
    std::string name = entry.path().filename().string();
    if (is_release_name(name)) {
      releases.push_back(std::move(name));
    }
  }
  std::ranges::sort(releases, older);
  return releases;
}

}  // namespace

std::string series_of_debian(std::string_view os_release) {
  static constexpr std::pair<std::string_view, std::string_view> series[] = {
      {"11", "5.10"}, {"12", "6.1"}, {"13", "6.12"}};
  bool debian = false;
  std::string out;
  for_each_line(os_release, [&](std::string_view line) {
    debian = debian || line == "ID=debian";
    for (const auto& [version, its_series] : series) {
      if (line == fmt::format("VERSION_ID=\"{}\"", version)) {
        out = its_series;
      }
    }
  });
  return debian ? out : std::string{};
}

Result<Listing> list() {
  TRY(check_cache_owner(kernels_directory()));
  Listing listing;
  for (const std::string& release : cached_releases()) {
    if (auto entry = read_entry(release)) {
      listing.kernels.push_back(std::move(*entry));
    } else if (entry.error().code != Code::not_cached) {  // else it was removed just now
      listing.bad.push_back({release, kernels_directory() / release, entry.error()});
    }
  }
  return listing;
}

Result<Kernel> find(const std::string& release) {
  if (!release.empty()) {
    return read_entry(release);
  }
  std::vector<std::string> releases = cached_releases();
  if (releases.empty()) {
    return fail(Code::not_cached, cache_directory().string(), "no kernel is in the cache",
                "suture kernel add");
  }
  const std::string series = series_of_debian(read_text("/etc/os-release").value_or(""));
  auto usual =
      std::ranges::find_if(releases.rbegin(), releases.rend(), [&](const std::string& candidate) {
        return series_of(candidate) == series && flavour_of(candidate) == plain_flavour;
      });
  return read_entry(usual != releases.rend() ? *usual : releases.back());
}

Status check_identity(const Image& image, const fs::path& config) {
  std::string text = TRY(read_text(config));
  ConfigIdentity identity = TRY(config_identity(text, config.string()));
  if (!contains_version(image.banner(), identity.version)) {
    return fail(Code::config_mismatch, config.string(),
                fmt::format("the configuration is of Linux {}, the image is '{}'", identity.version,
                            image.banner()),
                fmt::format("give the configuration of {}", image.release()));
  }
  if (identity.compiler_text != image.compiler()) {
    return fail(Code::config_mismatch, config.string(),
                fmt::format("the configuration was made for '{}', the image was compiled by '{}'",
                            identity.compiler_text, image.compiler()),
                fmt::format("give the configuration of {}", image.release()));
  }
  return {};
}

}  // namespace suture::kernel
