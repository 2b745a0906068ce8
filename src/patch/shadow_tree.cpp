// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a compiler that works on the patched source must find every changed header wherever it
// is included from, by whatever path, and everything else where it always was; the tree itself
// must stay as it is, and has 80,000 files.
//
// Method: directories on the way to a changed file are real, and hold the changed file and
// symbolic links to everything else that the tree has there: files, and whole directories. The
// compiler works in the shadow with the kernel's own relative options, so its __FILE__ and its
// search paths are the kernel's. A link is one more name of one that an earlier shadow had: ext4
// takes up to a millisecond to find room for a new one where many were removed just before.
//
// Invariant: a path without ".." names the patched file where there is one. A ".." behind a linked
// directory leads into the tree itself, past a changed file: the directories that kbuild spells a
// source's path with, and the source's own, are made real, and what the compiler says it read is
// checked afterwards.
#include "patch/shadow_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace suture::patch {

namespace {

// Where the links to what the tree has in `directory` are kept, under the names they have there.
fs::path kept_links(const fs::path& directory, const TreePaths& paths) {
  std::string name = "tree/" + directory.string();
  std::ranges::replace(name, '/', '+');
  return paths.links / name;
}

Status link_to(const fs::path& target, const fs::path& link, const fs::path& kept) {
  std::error_code ec;
  bool leads_there = fs::read_symlink(kept, ec) == target;
  if (!leads_there) {
    fs::create_symlink(target, kept, ec);
    leads_there = !ec || fs::read_symlink(kept, ec) == target;  // another build may have made it
  }
  if (leads_there) {
    fs::create_hard_link(kept, link, ec);
    if (!ec) {
      return {};
    }
  }
  fs::create_symlink(target, link, ec);
  return ec ? fail_errno(ec.value(), link.string(), "link") : Status{};
}

// Links everything in the tree's `directory` that is not in `own` (paths from the root).
Status link_siblings(const fs::path& directory, const std::set<fs::path>& own,
                     const TreePaths& paths) {
  const fs::path kept = kept_links(directory, paths);
  TRY(make_directories(kept));
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(paths.tree / directory, ec)) {
    const fs::path name = entry.path().filename();
    if (!own.contains(directory / name)) {
      TRY(link_to(entry.path(), paths.shadow / directory / name, kept / name));
    }
  }
  // A new directory of the patch is not there to be read.
  return ec && ec != std::errc::no_such_file_or_directory
             ? fail_errno(ec.value(), (paths.tree / directory).string(), "read the directory")
             : Status{};
}

using FileId = std::pair<dev_t, ino_t>;

// Which file a path leads to, whatever its links; none where it leads nowhere.
std::optional<FileId> file_id(const fs::path& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? std::optional(FileId(found.st_dev, found.st_ino))
                                         : std::nullopt;
}

Status make_real(const fs::path& directory, const TreePaths& paths) {
  fs::path at;
  for (const fs::path& part : directory) {
    at /= part;
    std::error_code ec;
    if (fs::is_symlink(paths.shadow / at, ec)) {
      fs::remove(paths.shadow / at, ec);
      TRY(make_directories(paths.shadow / at));
      TRY(link_siblings(at, {}, paths));
    }
  }
  return {};
}

}  // namespace

Status make_shadow_tree(const std::vector<source::ChangedFile>& files, const TreePaths& paths) {
  std::set<fs::path> directories{fs::path{}};
  std::set<fs::path> own;
  for (const source::ChangedFile& file : files) {
    own.insert(file.path);
    for (fs::path up = fs::path(file.path).parent_path(); !up.empty(); up = up.parent_path()) {
      directories.insert(up);
      own.insert(up);
    }
  }
  for (const fs::path& directory : directories) {
    TRY(make_directories(paths.shadow / directory));
    TRY(link_siblings(directory, own, paths));
  }
  for (const source::ChangedFile& file : files) {
    if (!file.deletes) {
      TRY(write_file(paths.shadow / file.path, file.after_synced));
    }
  }
  return {};
}

Status make_way(const std::string& source, const TreePaths& paths) {
  // What the source includes by ".." leads back from its own directory.
  TRY(make_real(fs::path(source).lexically_normal().parent_path(), paths));
  for (std::size_t at = source.find("/../"); at != std::string::npos;
       at = source.find("/../", at + 1)) {
    TRY(make_real(fs::path(source.substr(0, at)).lexically_normal(), paths));
  }
  return {};
}

std::string find_unpatched(const std::vector<std::string>& read,
                           const std::vector<source::ChangedFile>& files, const fs::path& tree,
                           const fs::path& shadow) {
  std::set<FileId> unpatched;
  for (const source::ChangedFile& file : files) {
    if (auto id = file_id(tree / file.path)) {
      unpatched.insert(*id);
    }
  }
  auto it = std::ranges::find_if(read, [&](const std::string& path) {
    auto id = file_id(shadow / path);
    return id && unpatched.contains(*id);
  });
  return it == read.end() ? std::string{} : *it;
}

}  // namespace suture::patch
