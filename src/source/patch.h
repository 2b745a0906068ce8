// SPDX-License-Identifier: GPL-2.0-or-later
//
// Unified diffs: reading them and applying them to the files of a tree. The format is that of
// POSIX diff -u as git, quilt and GNU diff write it (git headers, mail text before the first file,
// "\ No newline at end of file", /dev/null for new and deleted files).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::source {

struct HunkLine {
  char kind = ' ';      // ' ' context, '-' removed, '+' added
  std::string text;     // without the newline
  bool newline = true;  // false on a last line without one
};

struct Hunk {
  std::size_t old_start = 0, old_count = 0, new_start = 0, new_count = 0;  // 1-based lines
  std::string heading;  // what follows the header's second @@: a line that stands above the hunk
  std::vector<HunkLine> lines;
};

struct FilePatch {
  std::string path;  // relative to the tree's root, stripped; checked: no "..", not absolute
  std::string from;  // of a rename or a copy: the file that it starts from, likewise
  bool creates = false;
  bool deletes = false;
  std::optional<Error> unsupported;  // a binary, a rename, a link: what hunks cannot say
  std::vector<Hunk> hunks;
};

struct Patch {
  std::string sha256;       // of the diff's bytes, hex
  std::string description;  // the text before the first file (a commit message), trimmed
  std::vector<FilePatch> files;
};

// `strip`: how many leading parts of its names are no part of the tree, as with patch -p. bad-diff
// (cut off, no hunks, counts that lie), unsafe-path.
Result<Patch> parse_patch(std::string_view text, const std::string& where, unsigned strip = 1);

// One changed file: its text before and after all patches, the after text carrying `#line`
// directives so that every line that a patch did not touch keeps the number it had before, which
// is what makes __LINE__ in unchanged functions compile to the same bytes.
struct ChangedFile {
  std::string path;
  std::string before;        // empty where it is created
  std::string after;         // as the patch says, byte for byte
  std::string after_synced;  // after, with #line directives
  bool creates = false;
  bool deletes = false;
};

struct Applied {
  std::vector<ChangedFile> files;
  std::vector<std::string> notes;  // each hunk that is not exactly where its diff says
};

// Applies the patches in order to the files of `tree` in memory; nothing is written. A hunk may
// have moved, and up to `fuzz` lines of context at either end may differ, as with patch -F.
// does-not-apply names file and hunk, and the fuzz that would take all of it.
Result<Applied> apply(const std::vector<Patch>& patches, const fs::path& tree, unsigned fuzz = 0);

}  // namespace suture::source
