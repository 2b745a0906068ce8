// SPDX-License-Identifier: GPL-2.0-or-later
//
// Invariant: what is removed leaves its place by one rename first, so that nobody finds half of it;
// what a killed process left of that is removed by whoever holds the cache's lock next.
#include "kernel/cache_space.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/json.h"
#include "kernel/cache.h"

namespace suture::kernel {

namespace {

fs::path all_derived() { return cache_directory() / "derived"; }

// Moves it into `bin`, which is removed at its end. The bytes that it took.
Result<std::uintmax_t> throw_away(const fs::path& path, const TempDir& bin) {
  const std::uintmax_t bytes = disk_use(path);
  TRY(rename_path(path, bin.path() / path.filename()));
  return bytes;
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> out;
  std::error_code ec;
  for (fs::directory_iterator at(directory, ec), end; !ec && at != end; at.increment(ec)) {
    out.push_back(at->path());
  }
  return out;
}

// Making a directory of the builds' kind removes those of dead builds; what is left is of living
// ones.
Result<bool> build_under_way(const fs::path& derived) {
  const fs::path work = derived / "work";
  std::error_code ec;
  if (!fs::exists(work, ec)) {
    return false;
  }
  const WorkDir own = TRY(WorkDir::create(work, "build"));
  return std::ranges::any_of(entries_of(work), [&](const fs::path& path) {
    return path != own.path() && path.filename().string().starts_with("build.");
  });
}

Json json_of(const fs::path& entry) {
  const auto text = read_text(entry / "kernel.json");
  return text ? Json::parse(*text).value_or(Json{}) : Json{};
}

// Removes the toolchains that no entry names.
Result<std::uintmax_t> throw_away_toolchains(const TempDir& bin) {
  std::set<std::string> used;
  for (const fs::path& entry : entries_of(kernels_directory())) {
    const Json json = json_of(entry);
    JsonReader reader(json);
    if (reader.text("release").empty() && is_release_name(entry.filename().string())) {
      return std::uintmax_t{0};  // whatever this damaged one is compiled by
    }
    used.insert(reader.text("toolchain"));
  }
  std::uintmax_t bytes = 0;
  for (const fs::path& path : entries_of(toolchains_directory())) {
    if (!used.contains(path.filename().string())) {
      bytes += TRY(throw_away(path, bin));
    }
  }
  return bytes;
}

}  // namespace

std::uintmax_t disk_use(const fs::path& directory) {
  constexpr std::uintmax_t block = 512;  // what st_blocks counts, on any file system
  std::uintmax_t bytes = 0;
  const auto count = [&](const fs::path& path) {
    struct stat seen {};
    bytes +=
        ::lstat(path.c_str(), &seen) == 0 ? static_cast<std::uintmax_t>(seen.st_blocks) * block : 0;
  };
  count(directory);
  std::error_code ec;
  for (fs::recursive_directory_iterator at(directory, ec), end; !ec && at != end;
       at.increment(ec)) {
    count(at->path());
  }
  return bytes;
}

CacheUse cache_use() {
  return {.kernels = disk_use(kernels_directory()),
          .derived = disk_use(all_derived()),
          .toolchains = disk_use(toolchains_directory()),
          .downloads = disk_use(downloads_directory()) + disk_use(apt_directory())};
}

Result<std::uintmax_t> remove_kernel(const std::string& release, const Progress& progress) {
  const fs::path entry = kernels_directory() / release;
  const FileLock lock = TRY(lock_cache(progress));
  std::error_code ec;
  if (!is_release_name(release) || !fs::exists(entry, ec)) {
    return fail(Code::not_cached, release, "this kernel is not in the cache",
                "see which ones are: suture kernel list");
  }
  remove_leftovers(kernels_directory());
  const TempDir bin = TRY(TempDir::create(kernels_directory(), temporary_prefix));
  std::uintmax_t bytes = 0;
  const Json json = json_of(entry);
  const std::string build_id = JsonReader(json).text("build_id");
  const fs::path derived = derived_directory(build_id);
  if (!build_id.empty() && build_id.find('/') == std::string::npos && fs::exists(derived, ec)) {
    if (TRY(build_under_way(derived))) {
      return fail(Code::busy, release, "a build for this kernel is under way",
                  "run it again when the build is done");
    }
    bytes += TRY(throw_away(derived, bin));
  }
  bytes += TRY(throw_away(entry, bin));
  return bytes + TRY(throw_away_toolchains(bin));
}

Result<std::uintmax_t> clean_cache(const Progress& progress) {
  const FileLock lock = TRY(lock_cache(progress));
  TRY(make_directories(downloads_directory()));
  remove_leftovers(downloads_directory());
  const TempDir bin = TRY(TempDir::create(downloads_directory(), temporary_prefix));
  std::uintmax_t bytes = 0;
  for (const fs::path& path : entries_of(all_derived())) {
    if (!TRY(build_under_way(path))) {
      bytes += TRY(throw_away(path, bin));
    }
  }
  for (const fs::path& directory : {downloads_directory(), apt_directory()}) {
    for (const fs::path& path : entries_of(directory)) {
      if (path != bin.path()) {
        bytes += TRY(throw_away(path, bin));
      }
    }
  }
  return bytes + TRY(throw_away_toolchains(bin));
}

}  // namespace suture::kernel
