// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which C files of a tree may see a header, without compiling them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::source {

class IncludeGraph {
 public:
  // Reads every C file and header of the tree that is for `arch` ("x86"), and keeps what they
  // include in `kept`, where the next call finds it.
  static Result<IncludeGraph> open(const fs::path& tree, const std::string& arch,
                                   const fs::path& kept);

  // The .c and .S files that include one of `headers` (paths from the tree's root), directly or
  // not. Never too few; perhaps too many. Sorted.
  std::vector<std::string> users(const std::vector<std::string>& headers) const;

 private:
  void add(std::string file, const std::vector<std::string>& included);
  Status read_kept(const fs::path& kept);

  std::vector<std::string> files_;
  struct Edge {
    std::uint32_t file;
    std::string spelled;  // without leading "./" and "../"
  };
  std::map<std::string, std::vector<Edge>, std::less<>> by_name_;  // by the included file's name
};

// The files that `text` includes, as it spells them: directives, and header names in macros, which
// a computed #include may use.
std::vector<std::string> included_files(std::string_view text);

}  // namespace suture::source
