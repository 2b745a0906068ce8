// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header's users are known for sure only after a build of the whole kernel, which is
// what nobody has time for.
//
// Method: read what every file of the tree includes, once, and take each #include for every file
// whose path ends the way it is spelled: search paths, #if and guards are left out, so the answer
// can only be too large, and the preprocessor has the last word on each file. A computed #include
// takes its name from a macro, so header names in #define lines count as included. What the
// kernel's build includes by option (-include) is included by every C file.
//
// Invariant: if the preprocessor reads header H for file C, then C is among users({H}).
#include "source/include_graph.h"

#include <algorithm>
#include <set>

#include "base/parallel.h"
#include "source/tree_files.h"

namespace suture::source {

namespace {

constexpr std::string_view format_line = "suture include graph 1\n";
// scripts/Makefile.lib, Makefile: LINUXINCLUDE and c_flags.
constexpr std::string_view included_by_option[] = {"include/linux/compiler-version.h",
                                                   "include/linux/kconfig.h",
                                                   "include/linux/compiler_types.h"};

std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string_view without_dots(std::string_view path) {
  while (path.starts_with("./") || path.starts_with("../")) {
    path.remove_prefix(path.find('/') + 1);
  }
  return path;
}

std::string_view skip_blanks(std::string_view text) {
  std::size_t at = text.find_first_not_of(" \t");
  return at == std::string_view::npos ? std::string_view{} : text.substr(at);
}

// What stands between the first pair of quotes or angle brackets, if it may be a file's name.
std::string_view quoted(std::string_view line) {
  std::size_t open = line.find_first_of("\"<");
  if (open == std::string_view::npos) {
    return {};
  }
  std::size_t close = line.find(line[open] == '<' ? '>' : '"', open + 1);
  return close == std::string_view::npos ? std::string_view{}
                                         : line.substr(open + 1, close - open - 1);
}

bool is_c(std::string_view name) {
  for (std::string_view extension : {".c", ".h", ".inc", ".def", ".tbl", ".S"}) {
    if (name.ends_with(extension)) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> list_files(const fs::path& tree, const std::string& arch) {
  std::vector<std::string> out;
  for (const fs::path& file : files_for_arch(tree, arch)) {
    if (is_c(file.native()) && *file.begin() != "samples") {
      out.push_back(file.string());
    }
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

std::vector<std::string> included_files(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = text.find('#'); at != std::string_view::npos; at = text.find('#', at + 1)) {
    std::size_t line_start = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    if (!skip_blanks(text.substr(line_start, at - line_start)).empty()) {
      continue;
    }
    std::string_view line = text.substr(at + 1, text.find('\n', at) - at - 1);
    line = skip_blanks(line);
    std::string_view name;
    if (line.starts_with("include")) {
      name = quoted(line);
    } else if (line.starts_with("define")) {
      name = quoted(line);
      name = name.ends_with(".h") || name.ends_with(".c") ? name : std::string_view{};
    }
    // "x/../y.h" may be spelled in many ways: its last name stands for it.
    name = without_dots(name);
    if (name.find("/..") != std::string_view::npos) {
      name = name_of(name);
    }
    if (!name.empty()) {
      out.emplace_back(name);
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

void IncludeGraph::add(std::string file, const std::vector<std::string>& included) {
  auto number = static_cast<std::uint32_t>(files_.size());
  files_.push_back(std::move(file));
  for (const std::string& spelled : included) {
    by_name_[std::string(name_of(spelled))].push_back(Edge{number, spelled});
  }
}

Result<IncludeGraph> IncludeGraph::open(const fs::path& tree, const std::string& arch,
                                        const fs::path& kept) {
  IncludeGraph graph;
  if (graph.read_kept(kept)) {
    return graph;
  }
  graph = {};
  std::vector<std::string> files = list_files(tree, arch);
  std::vector<std::vector<std::string>> included(files.size());
  parallel_for(files.size(), [&](std::size_t i) {
    if (auto text = read_text(tree / files[i])) {
      included[i] = included_files(*text);
    }
  });
  std::string text(format_line);
  for (std::size_t i = 0; i < files.size(); ++i) {
    text += files[i];
    for (const std::string& spelled : included[i]) {
      text += '\t';
      text += spelled;
    }
    text += '\n';
    graph.add(std::move(files[i]), included[i]);
  }
  TRY(make_directories(kept.parent_path()));
  TRY(write_file(kept, text));
  return graph;
}

Status IncludeGraph::read_kept(const fs::path& kept) {
  std::string text = TRY(read_text(kept));
  std::string_view rest = text;
  if (!rest.starts_with(format_line)) {
    return fail(Code::not_cached, kept.string(), "it is of another version");
  }
  rest.remove_prefix(format_line.size());
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::vector<std::string> words;
    for (std::size_t tab = 0; tab != std::string_view::npos;) {
      tab = line.find('\t');
      words.emplace_back(line.substr(0, tab));
      line.remove_prefix(tab == std::string_view::npos ? line.size() : tab + 1);
    }
    std::string file = std::move(words.front());
    words.erase(words.begin());
    add(std::move(file), words);
  }
  return {};
}

std::vector<std::string> IncludeGraph::users(const std::vector<std::string>& headers) const {
  std::vector<bool> reached(files_.size(), false);
  std::set<std::string> seen(headers.begin(), headers.end());
  std::vector<std::string> work(headers);
  bool everywhere = false;
  while (!work.empty()) {
    std::string header = std::move(work.back());
    work.pop_back();
    everywhere = everywhere || std::ranges::find(included_by_option, header) !=
                                   std::ranges::end(included_by_option);
    auto edges = by_name_.find(name_of(header));
    if (edges == by_name_.end()) {
      continue;
    }
    for (const Edge& edge : edges->second) {
      bool same = header == edge.spelled || header.ends_with("/" + edge.spelled);
      if (same && !reached[edge.file]) {
        reached[edge.file] = true;
        if (seen.insert(files_[edge.file]).second) {
          work.push_back(files_[edge.file]);
        }
      }
    }
  }
  std::vector<std::string> out;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    bool unit = files_[i].ends_with(".c") || files_[i].ends_with(".S");
    if (unit && (reached[i] || everywhere)) {
      out.push_back(files_[i]);
    }
  }
  return out;
}

}  // namespace suture::source
