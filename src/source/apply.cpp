// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: put hunks into files whose lines may have moved, and never into the wrong place: a
// patch that lands in the neighbouring function compiles, loads and breaks the machine.
//
// Method: the file is a list of lines, each with the number it had before all patches. A hunk's old
// side (context and removed lines) must be found whole. The line that the header names, shifted by
// what earlier hunks moved, is tried first, then lines ever farther away on both sides. Away from
// the named line a hunk that touches the start or the end of its file (it has less context there)
// must do so here too; two places equally far away are refused.
//
// Invariants: hunks land in order and do not overlap; lines that no patch touched keep their number
// (which line_sync needs); nothing is written, and no file outside the tree is read.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "source/line_sync.h"
#include "source/patch.h"

namespace suture::source {

namespace {

// A file of the tree while patches are applied to it. The lines point into `before` and into the
// patches, both of which outlive them.
struct WorkFile {
  bool existed = false;
  bool exists = false;
  std::string before;
  std::vector<NumberedLine> lines;
};

std::vector<NumberedLine> split_lines(std::string_view text) {
  std::vector<NumberedLine> lines;
  while (!text.empty()) {
    std::size_t newline = text.find('\n');
    std::size_t size = newline == std::string_view::npos ? text.size() : newline + 1;
    lines.push_back({text.substr(0, size), lines.size() + 1});
    text.remove_prefix(size);
  }
  return lines;
}

std::string join_lines(const std::vector<NumberedLine>& lines) {
  std::string text;
  for (const NumberedLine& line : lines) {
    text += line.text;
  }
  return text;
}

bool same_line(const NumberedLine& have, const HunkLine& want) {
  std::string_view text = have.text;
  bool newline = text.ends_with('\n');
  if (newline) {
    text.remove_suffix(1);
  }
  return newline == want.newline && text == want.text;
}

// The old side of a hunk, and how much of it is context at either end.
struct OldSide {
  std::vector<const HunkLine*> lines;
  std::size_t leading = 0;
  std::size_t trailing = 0;
};

OldSide old_side(const Hunk& hunk) {
  OldSide old;
  auto is_context = [](const HunkLine& line) { return line.kind == ' '; };
  for (const HunkLine& line : hunk.lines) {
    if (line.kind != '+') {
      old.lines.push_back(&line);
    }
  }
  auto first = std::ranges::find_if_not(hunk.lines, is_context);
  old.leading = static_cast<std::size_t>(first - hunk.lines.begin());
  auto last = std::find_if_not(hunk.lines.rbegin(), hunk.lines.rend(), is_context);
  old.trailing = static_cast<std::size_t>(last - hunk.lines.rbegin());
  return old;
}

bool matches_at(const std::vector<NumberedLine>& lines, const OldSide& old, std::size_t at) {
  if (at > lines.size() || old.lines.size() > lines.size() - at) {
    return false;
  }
  for (std::size_t i = 0; i < old.lines.size(); ++i) {
    if (!same_line(lines[at + i], *old.lines[i])) {
      return false;
    }
  }
  return true;
}

// A hunk cut short by the start or the end of its file may only move with that end.
bool may_move_to(const std::vector<NumberedLine>& lines, const OldSide& old, std::size_t at) {
  bool at_start = old.leading >= old.trailing || at == 0;
  bool at_end = old.trailing >= old.leading || at + old.lines.size() == lines.size();
  return at_start && at_end;
}

enum class Miss { no_place, two_places, not_the_end };

// Where the old side stands in `lines`, not before `floor`, nearest to `expected`.
std::expected<std::size_t, Miss> locate(const std::vector<NumberedLine>& lines, const OldSide& old,
                                        std::size_t floor, std::size_t expected) {
  if (expected >= floor && matches_at(lines, old, expected)) {
    return expected;
  }
  if (old.lines.empty() || old.lines.size() > lines.size()) {
    return std::unexpected(Miss::no_place);  // without context every line would do
  }
  const std::size_t last = lines.size() - old.lines.size();
  auto fits = [&](std::size_t at) {
    return at >= floor && matches_at(lines, old, at) && may_move_to(lines, old, at);
  };
  // The header may name a line far past the end, where there is nothing to try.
  const std::size_t nearest = expected > last ? expected - last : 1;
  const std::size_t farthest = std::max(expected, last);
  for (std::size_t distance = nearest; distance <= farthest; ++distance) {
    bool above = expected >= distance && fits(expected - distance);
    bool below = fits(expected + distance);
    if (above && below) {
      return std::unexpected(Miss::two_places);
    }
    if (above || below) {
      return above ? expected - distance : expected + distance;
    }
  }
  return std::unexpected(Miss::no_place);
}

// Would the hunk fit if carriage returns did not count?
bool only_line_ends_differ(const std::vector<NumberedLine>& lines, const Hunk& hunk) {
  if (lines.empty() || hunk.lines.empty()) {
    return false;
  }
  bool file_crlf = lines.front().text.ends_with("\r\n");
  bool hunk_crlf = hunk.lines.front().text.ends_with('\r');
  return file_crlf != hunk_crlf;
}

std::unexpected<Error> does_not_apply(const FilePatch& patch, std::size_t index,
                                      const WorkFile& file, Miss miss) {
  const Hunk& hunk = patch.hunks[index];
  std::string_view what = miss == Miss::two_places    ? "fits at two places equally well"
                          : miss == Miss::not_the_end ? "ends the file where the source goes on"
                                                      : "does not match the source";
  std::string reason = fmt::format("hunk {} (line {}) {}", index + 1, hunk.old_start, what);
  std::string remedy =
      "port the patch to this kernel's source, or check that it is not in it already";
  if (miss == Miss::two_places) {
    remedy = "make the patch with more context ('git diff -U10') from this kernel's source";
  } else if (only_line_ends_differ(file.lines, hunk)) {
    remedy = "patch and source end their lines differently (CRLF and LF): convert the patch";
  }
  return fail(Code::does_not_apply, patch.path, std::move(reason), std::move(remedy));
}

// The hunk's new side in place of the `old` lines at `at`; context keeps its numbers.
void replace_lines(std::vector<NumberedLine>& lines, const Hunk& hunk, std::size_t at,
                   std::size_t old_size, std::deque<std::string>& storage) {
  std::vector<NumberedLine> fresh;
  std::size_t from = at;
  for (const HunkLine& line : hunk.lines) {
    if (line.kind == '+') {
      storage.push_back(line.newline ? line.text + '\n' : line.text);
      fresh.push_back({storage.back(), 0});
      continue;
    }
    if (line.kind == ' ') {
      fresh.push_back(lines[from]);
    }
    ++from;
  }
  auto position = lines.begin() + static_cast<std::ptrdiff_t>(at);
  position = lines.erase(position, position + static_cast<std::ptrdiff_t>(old_size));
  lines.insert(position, fresh.begin(), fresh.end());
}

// A line without a newline is the last of its file.
bool ends_file(const Hunk& hunk) {
  return std::ranges::any_of(
      hunk.lines, [](const HunkLine& line) { return line.kind != '-' && !line.newline; });
}

class Applier {
 public:
  explicit Applier(const fs::path& tree) : tree_(tree) {}

  Status apply(const FilePatch& patch);
  std::vector<ChangedFile> changed_files() const;

 private:
  Result<WorkFile*> open(const std::string& path);
  Status apply_hunks(const FilePatch& patch, WorkFile& file);

  const fs::path& tree_;
  std::map<std::string, WorkFile> files_;
  std::deque<std::string> storage_;  // texts of added lines; a deque does not move them
};

// No symbolic link on the way: neither out of the tree, nor to a second name of the same file.
Result<WorkFile*> Applier::open(const std::string& path) {
  if (auto known = files_.find(path); known != files_.end()) {
    return &known->second;
  }
  fs::path full = tree_;
  for (const fs::path& part : fs::path(path)) {
    full /= part;
    std::error_code ignored;
    if (fs::is_symlink(fs::symlink_status(full, ignored))) {
      return fail(Code::unsafe_path, path,
                  fmt::format("'{}' is a symbolic link in the source tree", full.string()),
                  "name the file by its own path in the patch");
    }
  }
  WorkFile file;
  std::error_code ignored;
  fs::file_status status = fs::symlink_status(full, ignored);
  if (fs::exists(status)) {
    if (!fs::is_regular_file(status)) {
      return fail(Code::unsupported_file, path, "it is no plain file in the source tree",
                  "leave it out of the patch");
    }
    file.before = TRY(read_text(full));
    file.existed = file.exists = true;
  }
  WorkFile& kept = files_.emplace(path, std::move(file)).first->second;
  kept.lines = split_lines(kept.before);
  return &kept;
}

Status Applier::apply_hunks(const FilePatch& patch, WorkFile& file) {
  std::size_t floor = 0;
  std::ptrdiff_t shift = 0;  // from the old side's numbers to the lines as they stand now
  for (std::size_t i = 0; i < patch.hunks.size(); ++i) {
    const Hunk& hunk = patch.hunks[i];
    OldSide old = old_side(hunk);
    auto named =
        static_cast<std::ptrdiff_t>(hunk.old_count == 0 ? hunk.old_start : hunk.old_start - 1);
    auto expected = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, named + shift));
    auto at = locate(file.lines, old, floor, expected);
    if (!at) {
      return does_not_apply(patch, i, file, at.error());
    }
    replace_lines(file.lines, hunk, *at, old.lines.size(), storage_);
    floor = *at + hunk.new_count;
    if (ends_file(hunk) && floor != file.lines.size()) {
      return does_not_apply(patch, i, file, Miss::not_the_end);
    }
    shift =
        static_cast<std::ptrdiff_t>(floor) - named - static_cast<std::ptrdiff_t>(hunk.old_count);
  }
  return {};
}

Status Applier::apply(const FilePatch& patch) {
  WorkFile& file = *TRY(open(patch.path));
  if (patch.creates && file.exists) {
    return fail(Code::does_not_apply, patch.path, "the patch creates this file, and it is there",
                "check that the patch is not in this kernel's source already");
  }
  if (!patch.creates && !file.exists) {
    return fail(Code::does_not_apply, patch.path, "this kernel's source has no such file",
                "port the patch to this kernel's source; its names must look like a/fs/file.c");
  }
  TRY(apply_hunks(patch, file));
  if (patch.deletes && !file.lines.empty()) {
    return fail(Code::does_not_apply, patch.path,
                "the patch deletes this file, and it has more lines here",
                "port the patch to this kernel's source");
  }
  file.exists = !patch.deletes;
  return {};
}

// `#line` is C; nothing else that a patch may touch has a use for it.
bool is_c(std::string_view path) { return path.ends_with(".c") || path.ends_with(".h"); }

std::vector<ChangedFile> Applier::changed_files() const {
  std::vector<ChangedFile> out;
  for (const auto& [path, file] : files_) {
    ChangedFile changed;
    changed.path = path;
    changed.before = file.before;
    changed.after = file.exists ? join_lines(file.lines) : std::string{};
    changed.creates = !file.existed && file.exists;
    changed.deletes = file.existed && !file.exists;
    if (file.existed == file.exists && changed.before == changed.after) {
      continue;  // a later patch took it back
    }
    changed.after_synced =
        file.existed && file.exists && is_c(path) ? sync_lines(file.lines) : changed.after;
    out.push_back(std::move(changed));
  }
  return out;
}

}  // namespace

Result<std::vector<ChangedFile>> apply(const std::vector<Patch>& patches, const fs::path& tree) {
  Applier applier(tree);
  for (const Patch& patch : patches) {
    for (const FilePatch& file : patch.files) {
      TRY(applier.apply(file));
    }
  }
  return applier.changed_files();
}

}  // namespace suture::source
