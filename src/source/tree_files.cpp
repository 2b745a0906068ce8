// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/tree_files.h"

namespace suture::source {

std::vector<fs::path> files_for_arch(const fs::path& tree, const std::string& arch) {
  std::vector<fs::path> out;
  std::error_code ec;
  for (fs::recursive_directory_iterator at(tree, ec), end; !ec && at != end; at.increment(ec)) {
    fs::path relative = at->path().lexically_relative(tree);
    if (!at->is_directory(ec)) {
      out.push_back(std::move(relative));
      continue;
    }
    bool other_arch = relative.parent_path() == "arch" && relative.filename() != arch;
    if (other_arch || relative == "tools" || relative == "Documentation" || relative == ".git") {
      at.disable_recursion_pending();
    }
  }
  return out;
}

}  // namespace suture::source
