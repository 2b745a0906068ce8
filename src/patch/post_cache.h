// SPDX-License-Identifier: GPL-2.0-or-later
//
// Post objects of earlier builds, for diffs that leave what a file reads as it was: of fifty diffs,
// only the objects of the new one are compiled.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "source/patch.h"

namespace suture::patch {

class PostCache {
 public:
  struct Entry {
    fs::path object;
    fs::path dependencies;  // as the compiler wrote them for make
  };

  // `files` are what differs between the tree and `shadow`, where it is in place.
  static Result<PostCache> open(const fs::path& directory,
                                const std::vector<source::ChangedFile>& files,
                                const fs::path& shadow);

  // What that command gave when it last read the same files with the same contents. `command` is
  // the digest of the command, its paths of output left out.
  std::optional<Entry> find(const std::string& command) const;
  // Moves a compiled object in.
  Result<Entry> keep(const std::string& command, const Entry& compiled) const;

 private:
  struct Content {
    dev_t device = 0;
    ino_t inode = 0;
    std::string line;  // path and digest
  };
  Result<std::string> digest_of_read(const fs::path& dependencies) const;
  fs::path place_of(const std::string& command) const;
  static std::vector<std::string> names_in(const fs::path& place);
  static Entry entry(const fs::path& place, const std::string& name);

  fs::path directory_, shadow_;
  std::vector<Content> changed_;
  std::string created_;  // what a created file does to every search for a header
};

// Every path that the compiler read, as it spelled them, of the `dependencies` that it wrote.
Result<std::vector<std::string>> files_read(const fs::path& dependencies);

}  // namespace suture::patch
