// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: asm/cpufeatures.h is read by a shell script that makes a table of it, and
// selinux/include/classmap.h by a program that makes headers. No compile command tells, and a patch
// that leaves the table out is not whole.
//
// Method: makefiles name what their rules read. Each word of a makefile that ends like a header is
// kept, with the variables at its start taken for what kbuild means by them; lists of headers that
// are only installed or checked are left out. Programs of the build (hostprogs) are C files, whose
// own quoted #includes are followed. Directories that are not configured in are told by this: their
// makefile lists objects, and the kernel is made of none below them.
//
// Limit: what a script finds without its makefile's help is not seen.
#include "patch/header_readers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "source/c_text.h"

namespace suture::patch {

namespace {

constexpr std::string_view format_line = "suture header readers 3\n";

// Lists of names, not of what a rule reads.
constexpr std::string_view lists[] = {"mandatory-y",     "generic-y",       "generated-y",
                                      "no-export-hdrs",  "no-header-test",  "header-test",
                                      "no-pch",          "no-uapi-headers", "clean-files",
                                      "exported-header", "always-",         "targets"};

bool is_word_char(char c) {
  return c > ' ' && std::string_view("\"'`=:;|&<>,").find(c) == std::string_view::npos;
}

// "$(srctree)/a/b.h" and "$(src)/../b.h" as paths from the root; of other variables the rest.
std::string resolved(std::string_view word, const std::string& directory) {
  std::string path(word);
  auto replace = [&](std::string_view variable, const std::string& value) {
    if (path.starts_with(variable)) {
      path = value + path.substr(variable.size());
    }
  };
  replace("$(srctree)/$(src)/", directory + "/");
  replace("$(srctree)/", "");
  replace("$(src)/", directory + "/");
  replace("$(obj)/../", directory + "/../");
  if (path.find('$') == std::string::npos && path.find('/') == std::string::npos) {
    path = directory + "/" + path;
  }
  return fs::path(path).lexically_normal().string();
}

std::vector<std::string_view> logical_lines(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    while (end != std::string_view::npos && end > 0 && text[end - 1] == '\\') {
      end = text.find('\n', end + 1);
    }
    out.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

std::vector<std::string> words_behind(std::string_view line) {
  std::vector<std::string> out;
  std::size_t equals = line.find('=');
  std::string word;
  for (char c : fmt::format("{} ", equals == line.npos ? "" : line.substr(equals + 1))) {
    if (is_word_char(c) && c != '\\') {
      word += c;
    } else if (!word.empty()) {
      out.push_back(std::exchange(word, {}));
    }
  }
  return out;
}

// The sources of the programs that the lines name as the build's own. A module's parts are listed
// in the same words, and are none.
std::vector<std::string> programs_in(const std::vector<std::string_view>& lines,
                                     const std::string& directory) {
  std::vector<std::string> out;
  std::set<std::string> names;
  for (std::string_view line : lines) {
    if (line.starts_with("hostprogs")) {
      for (std::string& name : words_behind(line)) {
        out.push_back(fmt::format("{}/{}.c", directory, name));
        names.insert(std::move(name));
      }
    }
  }
  for (std::string_view line : lines) {
    std::size_t objects = line.find("-objs");
    if (objects == line.npos || !names.contains(std::string(line.substr(0, objects)))) {
      continue;
    }
    for (const std::string& part : words_behind(line)) {
      out.push_back((fs::path(directory) / part).replace_extension(".c").string());
    }
  }
  return out;
}

// The quoted headers that a program of the build includes, its own and theirs.
std::set<std::string> headers_of_program(const fs::path& tree, const std::string& program) {
  std::set<std::string> seen;
  std::vector<std::string> work{program};
  while (!work.empty()) {
    const std::string file = std::move(work.back());
    work.pop_back();
    auto text = read_text(tree / file);
    if (!text) {
      // Found by a search path: known by its last names only.
      continue;
    }
    for (const source::Chunk& chunk : source::cut_up(std::move(*text)).chunks) {
      std::size_t open = chunk.text.find('"');
      if (chunk.kind != source::ChunkKind::include || open == std::string::npos) {
        continue;
      }
      std::string spelled = chunk.text.substr(open + 1, chunk.text.find('"', open + 1) - open - 1);
      fs::path own = (fs::path(file).parent_path() / spelled).lexically_normal();
      std::string path = fs::exists(tree / own) ? own.string() : spelled;
      if (seen.insert(path).second) {
        work.push_back(path);
      }
    }
  }
  return seen;
}

bool is_searched(const fs::path& directory) {
  for (const char* other : {"Documentation", "tools", "samples", "debian", ".git", "usr"}) {
    if (directory == other) {
      return false;
    }
  }
  return directory.parent_path() != "arch" || directory == "arch/x86";
}

// The kernel is made of something in that directory, or below it.
bool has_units(const kernel::Units& units, const std::string& directory) {
  const std::string below = directory.empty() ? "" : directory + "/";
  return std::ranges::any_of(units.all(), [&](const kernel::Unit& unit) {
    return unit.path.starts_with(below) || unit.object.starts_with(below);
  });
}

Result<std::string> read_makefiles(const fs::path& tree, const kernel::Units& units) {
  std::string out(format_line);
  std::error_code ec;
  for (fs::recursive_directory_iterator at(tree, ec), end; !ec && at != end; at.increment(ec)) {
    const fs::path path = at->path().lexically_relative(tree);
    if (at->is_directory(ec)) {
      if (!is_searched(path)) {
        at.disable_recursion_pending();
      }
      continue;
    }
    const std::string name = path.filename().string();
    if (name != "Kbuild" && !name.starts_with("Makefile")) {
      continue;
    }
    const std::string text = TRY(read_text(at->path()));
    const std::string directory = path.parent_path().string();
    MakefileNames names = names_in_makefile(text, directory);
    if (names.lists_objects && !has_units(units, directory)) {
      continue;
    }
    for (const std::string& header : names.headers) {
      out += fmt::format("{}\t{}\n", header, path.string());
    }
    for (const std::string& program : names.programs) {
      for (const std::string& header : headers_of_program(tree, program)) {
        out += fmt::format("{}\t{}\n", header, program);
      }
    }
  }
  return out;
}

}  // namespace

MakefileNames names_in_makefile(std::string_view text, const std::string& directory) {
  MakefileNames out;
  const std::vector<std::string_view> lines = logical_lines(text);
  out.programs = programs_in(lines, directory);
  for (std::string_view line : lines) {
    std::size_t first = line.find_first_not_of(" \t");
    if (first == line.npos || line[first] == '#') {
      continue;
    }
    std::string_view rest = line.substr(first);
    out.lists_objects = out.lists_objects || rest.starts_with("obj-") || rest.starts_with("lib-");
    auto lists_names = [&](std::string_view list) { return rest.starts_with(list); };
    if (std::ranges::any_of(lists, lists_names)) {
      continue;
    }
    for (std::size_t at = line.find(".h"); at != line.npos; at = line.find(".h", at + 2)) {
      if (at + 2 < line.size() && is_word_char(line[at + 2]) && line[at + 2] != ')') {
        continue;
      }
      std::size_t start = at;
      while (start > 0 && is_word_char(line[start - 1])) {
        --start;
      }
      std::string_view word = line.substr(start, at + 2 - start);
      // An option of the compiler, or what a rule writes into a file.
      std::string_view before = line.substr(0, start);
      bool included = before.ends_with("-include ") || before.ends_with("#include \"") ||
                      before.ends_with("#include \\\"") || before.ends_with("#include <");
      bool made = word.starts_with("$(obj)/") && !word.starts_with("$(obj)/../");
      if (!included && !made && word.find('%') == word.npos && word.find('*') == word.npos) {
        out.headers.push_back(resolved(word, directory));
      }
    }
  }
  return out;
}

Result<std::optional<std::string>> reader_outside(const fs::path& tree, const kernel::Units& units,
                                                  const std::string& header, const fs::path& kept) {
  Result<std::string> text = read_text(kept);
  if (!text || !text->starts_with(format_line)) {
    text = TRY(read_makefiles(tree, units));
    TRY(make_directories(kept.parent_path()));
    TRY(write_file(kept, *text));
  }
  std::string_view rest = *text;
  rest.remove_prefix(format_line.size());
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::string_view name = line.substr(0, line.find('\t'));
    // A variable stands for an unknown directory: what is behind it has to fit.
    bool variable = name.starts_with('$');
    std::string_view known =
        variable ? name.substr(std::min(name.find('/') + 1, name.size())) : name;
    bool fits = header == name || (known.find('$') == known.npos && !known.empty() &&
                                   (variable || known.find('/') == known.npos) &&
                                   header.ends_with(fmt::format("/{}", known)));
    if (fits) {
      return std::string(line.substr(std::min(name.size() + 1, line.size())));
    }
  }
  return std::nullopt;
}

}  // namespace suture::patch
