// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a cumulative patch grows by one diff at a time, and all its files would be compiled
// anew.
//
// Method: an object is kept under the digest of its command and the digest of those changed files
// that the compiler read, with the list of everything that it read. An entry serves where the
// changed files that are on its own list are the same now as they were then.
//
// Invariants: a compiler that is given the same command and finds the same contents in all that it
// read reads nothing else, so the object would be the same. The tree itself never changes. A file
// that a diff creates may be found before another of its name: what is created belongs to the
// command's digest.
#include "patch/post_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/digest.h"
#include "kernel/shell_words.h"

namespace suture::patch {

namespace {

// Of one command; older ones go when a newer is kept.
constexpr std::size_t most_entries = 8;
constexpr std::string_view list_suffix = ".d";

std::string short_digest(std::string_view text) { return sha256_hex(as_bytes(text)).substr(0, 32); }

}  // namespace

Result<PostCache> PostCache::open(const fs::path& directory,
                                  const std::vector<source::ChangedFile>& files,
                                  const fs::path& shadow) {
  TRY(make_directories(directory));
  PostCache out;
  out.directory_ = directory;
  out.shadow_ = shadow;
  for (const source::ChangedFile& file : files) {
    struct stat found {};
    if (!file.deletes && ::stat((shadow / file.path).c_str(), &found) == 0) {
      const std::string line =
          fmt::format("{} {}\n", file.path, sha256_hex(as_bytes(file.after_synced)));
      out.changed_.push_back({found.st_dev, found.st_ino, line});
    }
    if (file.creates || file.deletes) {
      out.created_ += file.path + (file.creates ? "+" : "-");
    }
  }
  return out;
}

Result<std::string> PostCache::digest_of_read(const fs::path& dependencies) const {
  std::vector<std::string> lines;
  for (const std::string& path : TRY(files_read(dependencies))) {
    struct stat found {};
    if (::stat((shadow_ / path).c_str(), &found) != 0) {
      lines.push_back(path + " is gone\n");
      continue;
    }
    for (const Content& content : changed_) {
      if (content.inode == found.st_ino && content.device == found.st_dev) {
        lines.push_back(content.line);
      }
    }
  }
  std::ranges::sort(lines);
  const auto twice = std::ranges::unique(lines);
  lines.erase(twice.begin(), twice.end());
  std::string all;
  for (const std::string& line : lines) {
    all += line;
  }
  return short_digest(all);
}

// One directory for each command.
fs::path PostCache::place_of(const std::string& command) const {
  return directory_ / short_digest(command + created_);
}

// The names of the entries there, without their suffixes, newest first.
std::vector<std::string> PostCache::names_in(const fs::path& place) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code ec;
  for (fs::directory_iterator it(place, ec), end; !ec && it != end; it.increment(ec)) {
    std::error_code gone;
    if (it->path().extension() == list_suffix) {
      found.emplace_back(it->last_write_time(gone), it->path().stem().string());
    }
  }
  std::ranges::sort(found, std::greater{});
  std::vector<std::string> out;
  for (auto& [time, name] : found) {
    out.push_back(std::move(name));
  }
  return out;
}

PostCache::Entry PostCache::entry(const fs::path& place, const std::string& name) {
  return {.object = place / (name + ".o"),
          .dependencies = place / (name + std::string(list_suffix))};
}

std::optional<PostCache::Entry> PostCache::find(const std::string& command) const {
  const fs::path place = place_of(command);
  for (const std::string& name : names_in(place)) {
    Entry kept = entry(place, name);
    auto digest = digest_of_read(kept.dependencies);
    std::error_code ec;
    if (digest && *digest == name && fs::exists(kept.object, ec)) {
      return kept;
    }
  }
  return std::nullopt;
}

Result<PostCache::Entry> PostCache::keep(const std::string& command, const Entry& compiled) const {
  const fs::path place = place_of(command);
  TRY(make_directories(place));
  Entry kept = entry(place, TRY(digest_of_read(compiled.dependencies)));
  // An entry is there once its list is.
  TRY(rename_path(compiled.object, kept.object));
  TRY(rename_path(compiled.dependencies, kept.dependencies));
  const std::vector<std::string> names = names_in(place);
  for (std::size_t i = most_entries; i < names.size(); ++i) {
    const Entry old = entry(place, names[i]);
    std::error_code ec;
    fs::remove(old.dependencies, ec);
    fs::remove(old.object, ec);
  }
  return kept;
}

Result<std::vector<std::string>> files_read(const fs::path& dependencies) {
  std::string text = TRY(read_text(dependencies));
  std::vector<std::string> words = TRY(kernel::split_words(text));
  std::erase_if(words, [](const std::string& word) { return word.ends_with(':') || word == "\n"; });
  return words;
}

}  // namespace suture::patch
