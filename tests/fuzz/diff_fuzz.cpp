// SPDX-License-Identifier: GPL-2.0-or-later
//
// Diffs on any bytes: mailboxes are taken apart, and what parse_patch accepts keeps its promises,
// and applying it to a small tree, with fuzz and without, neither crashes nor changes a line that
// it says it did not touch.
#include <cstdlib>

#include "source/diff_files.h"
#include "source/patch.h"

namespace {

using namespace suture;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

fs::path make_tree() {
  auto dir = TempDir::create(fs::temp_directory_path(), "diff-fuzz");
  require(dir && make_directories(dir->path() / "fs") &&
          write_file(dir->path() / "fs/x.c", std::string_view("a\nb\nc\nd /*\n*/ e\nf\\\ng\n")) &&
          write_file(dir->path() / "fs/y.h", std::string_view("#if A\n1\n#else\n2\n#endif")));
  return dir->release();
}

void check(const source::Patch& patch) {
  for (const source::FilePatch& file : patch.files) {
    require(!file.path.empty() && !file.path.starts_with('/'));
    for (const fs::path& part : fs::path(file.path)) {
      require(part != "..");
    }
    for (const source::Hunk& hunk : file.hunks) {
      std::size_t old_lines = 0;
      std::size_t new_lines = 0;
      for (const source::HunkLine& line : hunk.lines) {
        old_lines += line.kind != '+' ? 1 : 0;
        new_lines += line.kind != '-' ? 1 : 0;
      }
      require(old_lines == hunk.old_count && new_lines == hunk.new_count);
    }
  }
}

// The text without the directives that were put into it. The tree and most inputs have none of
// their own; where an input has, nothing is said.
std::string without_directives(const std::string& text) {
  std::string out;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = std::min(text.find('\n', start), text.size() - 1) + 1;
    if (text.compare(start, 6, "#line ") != 0) {
      out.append(text, start, end - start);
    }
    start = end;
  }
  return out;
}

void try_patch(std::string_view text, const fs::path& tree) {
  auto patch = source::parse_patch(text, "fuzz");
  if (!patch) {
    return;
  }
  check(*patch);
  for (unsigned fuzz : {0U, 2U}) {
    auto applied = source::apply({*patch}, tree, fuzz);
    if (!applied) {
      continue;
    }
    for (const source::ChangedFile& file : applied->files) {
      if (file.after.find("#line ") == std::string::npos) {
        require(without_directives(file.after_synced) == file.after);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fs::path tree = make_tree();
  const ByteView bytes(data, size);
  try_patch(as_text(bytes), tree);
  if (auto diffs = source::diffs_in(bytes, "fuzz")) {
    require(!diffs->diffs.empty());
    for (const source::DiffText& diff : diffs->diffs) {
      std::vector<std::string> notes;
      (void)source::parse_for_tree(diff, tree, std::nullopt, notes);
    }
  }
  return 0;
}
