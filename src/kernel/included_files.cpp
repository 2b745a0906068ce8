// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: fs/binfmt_elf.c is an object of its own, and fs/compat_binfmt_elf.c includes it; most
// sources are included by nobody, and a build of them must not pay for looking that up.
//
// Method: read all C files of the tree for the architecture, once. A name in quotes is the file
// beside the includer where there is one; any other is taken for every file whose path ends the way
// it is spelled. Macros that #include takes its name from count
// as well.
//
// Invariant: a file that the preprocessor reads for another and whose name does not end in ".h" is
// among the answers.
#include "kernel/included_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/parallel.h"

namespace suture::kernel {

namespace {

bool holds_c(std::string_view name) {
  return name.ends_with(".c") || name.ends_with(".h") || name.ends_with(".S") ||
         name.ends_with(".inc") || name.ends_with(".def") || name.ends_with(".tbl");
}

// The paths of the files that the architecture's kernel may be made of.
std::vector<std::string> files_for(const fs::path& tree, const std::string& arch) {
  std::vector<std::string> out;
  std::error_code ec;
  const std::size_t root = tree.native().size() + 1;
  for (fs::recursive_directory_iterator at(tree, ec), end; !ec && at != end; at.increment(ec)) {
    std::string path = at->path().native().substr(root);
    if (!at->is_directory(ec)) {
      out.push_back(std::move(path));
      continue;
    }
    const bool other_arch =
        path.starts_with("arch/") && path.rfind('/') == 4 && path.substr(5) != arch;
    if (other_arch || path == "tools" || path == "scripts" || path == "samples" ||
        path == "Documentation" || path == ".git") {
      at.disable_recursion_pending();
    }
  }
  return out;
}

// "x.c" of "../lib/./x.c" stands for a spelling that may go any way.
std::string_view ending_of(std::string_view spelled) {
  for (std::string_view dots : {"../", "./"}) {
    if (std::size_t at = spelled.rfind(dots); at != std::string_view::npos) {
      spelled.remove_prefix(at + dots.size());
    }
  }
  return spelled;
}

}  // namespace

std::set<IncludedName> included_names(std::string_view text) {
  std::set<IncludedName> out;
  for (std::size_t at = text.find('#'); at != std::string_view::npos; at = text.find('#', at + 1)) {
    std::string_view line = text.substr(at + 1, text.find('\n', at) - at - 1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.starts_with("include") && !line.starts_with("define")) {
      continue;
    }
    std::size_t open = line.find_first_of("\"<");
    std::size_t close =
        open == std::string_view::npos ? open : line.find(line[open] == '<' ? '>' : '"', open + 1);
    if (close == std::string_view::npos) {
      continue;
    }
    std::string_view name = line.substr(open + 1, close - open - 1);
    const bool one = name.find_first_of(" %\\") == std::string_view::npos && name.contains('.');
    const bool includes = line.starts_with("include");
    if (one && !name.ends_with(".h") && (includes || holds_c(name))) {
      out.insert({std::string(name), includes && line[open] == '"'});
    }
  }
  return out;
}

std::set<std::string> included_sources(const fs::path& tree, const std::string& arch) {
  const std::vector<std::string> files = files_for(tree, arch);
  std::vector<std::set<IncludedName>> names(files.size());
  parallel_for(files.size(), [&](std::size_t i) {
    if (holds_c(files[i])) {
      if (auto text = read_text(tree / files[i])) {
        names[i] = included_names(*text);
      }
    }
  });
  std::set<std::string> out;
  std::map<std::string_view, std::set<std::string_view>> by_name;  // the last part: endings
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (const IncludedName& name : names[i]) {
      fs::path beside = (fs::path(files[i]).parent_path() / name.spelled).lexically_normal();
      if (name.beside && fs::exists(tree / beside)) {
        out.insert(beside.string());
        continue;
      }
      std::string_view ending = ending_of(name.spelled);
      by_name[ending.substr(ending.rfind('/') + 1)].insert(ending);
    }
  }
  for (const std::string& file : files) {
    auto found = by_name.find(std::string_view(file).substr(file.rfind('/') + 1));
    if (found != by_name.end() && std::ranges::any_of(found->second, [&](std::string_view ending) {
          return file == ending || file.ends_with(fmt::format("/{}", ending));
        })) {
      out.insert(file);
    }
  }
  return out;
}

}  // namespace suture::kernel
