// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: put hunks into files whose lines may have moved, and tell of each that was not where its
// diff says.
//
// Method: the file is a list of lines, each with the number it had before all patches. hunk_place.h
// finds each hunk's place: its header's line, shifted by what earlier hunks moved, and the function
// that the header names. Where that fails, larger fuzzes are tried over the whole diffs, only to
// say which would do; and the hunk's new side is looked for, which is there where the change is in
// already.
//
// Invariants: hunks land in order and do not overlap; lines that no patch touched keep their number
// (which line_sync needs); nothing is written, and no file outside the tree is read.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>

#include "source/hunk_place.h"
#include "source/line_sync.h"
#include "source/patch.h"

namespace suture::source {

namespace {

constexpr std::string_view is_there_already = "is in this source already";

// A file of the tree while patches are applied to it. The lines point into `before` and into the
// patches, both of which outlive them.
struct WorkFile {
  bool existed = false;
  bool exists = false;
  std::string before;
  std::vector<NumberedLine> lines;
  std::optional<std::size_t> diff;  // the last that changed it, by its number
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

// Would the hunk fit if carriage returns did not count?
bool only_line_ends_differ(const std::vector<NumberedLine>& lines, const Hunk& hunk) {
  if (lines.empty() || hunk.lines.empty()) {
    return false;
  }
  bool file_crlf = lines.front().text.ends_with("\r\n");
  bool hunk_crlf = hunk.lines.front().text.ends_with('\r');
  return file_crlf != hunk_crlf;
}

std::unexpected<Error> does_not_apply(const FilePatch& patch, std::size_t index, std::string what,
                                      std::string remedy) {
  return fail(Code::does_not_apply, patch.path,
              fmt::format("hunk {} (line {}) {}", index + 1, patch.hunks[index].old_start, what),
              std::move(remedy));
}

constexpr std::string_view port = "port the patch to this kernel's source";

// Lines from 1, the first few.
std::string line_list(const std::vector<std::size_t>& places) {
  constexpr std::size_t most = 5;
  std::string out;
  for (std::size_t i = 0; i < std::min(most, places.size()); ++i) {
    out += fmt::format("{}{}", i == 0 ? "" : ", ", places[i] + 1);
  }
  return places.size() > most ? out + ", ..." : out;
}

// What the heading names, for people.
std::string function_of(const Hunk& hunk) {
  std::string name = named_by(hunk.heading);
  if (name.empty()) {
    return fmt::format("'{}'", hunk.heading);
  }
  return name.find('(') == std::string::npos ? name
         : name.ends_with('(')               ? name + ')'
                                             : name + "...)";
}

// The other way round: what it removes is what is there once it is in.
Hunk reversed(const Hunk& hunk) {
  Hunk out = hunk;
  std::swap(out.old_start, out.new_start);
  std::swap(out.old_count, out.new_count);
  for (HunkLine& line : out.lines) {
    line.kind = line.kind == '+' ? '-' : line.kind == '-' ? '+' : ' ';
  }
  return out;
}

// A hunk that only removes leaves nothing to be found.
bool is_in_already(const Surroundings& file, const Hunk& hunk, std::ptrdiff_t expected) {
  bool adds = std::ranges::any_of(hunk.lines, [](const HunkLine& l) { return l.kind == '+'; });
  return adds && context_of(hunk) > 0 && find_place(file, reversed(hunk), expected, 0);
}

// `after_others`: a diff before this one has changed the file.
std::unexpected<Error> missed(const FilePatch& patch, std::size_t index, const Surroundings& file,
                              std::ptrdiff_t expected, const Miss& miss, bool after_others) {
  const Hunk& hunk = patch.hunks[index];
  if (miss.kind == Miss::Kind::several) {
    std::string reason = fmt::format("fits equally well at lines {}", line_list(miss.places));
    return does_not_apply(patch, index, std::move(reason),
                          "make the patch with more context ('git diff -U10') from this kernel's "
                          "source");
  }
  if (is_in_already(file, hunk, expected)) {
    return after_others ? does_not_apply(patch, index,
                                         fmt::format("{}: a diff before it makes the same change",
                                                     is_there_already),
                                         "give only one of the two")
                        : does_not_apply(patch, index, std::string(is_there_already),
                                         "leave it out: the kernel has that change");
  }
  if (miss.kind == Miss::Kind::other_function) {
    return does_not_apply(patch, index,
                          fmt::format("is for {}, and does not match the source there; it would "
                                      "fit in another function, at line {}",
                                      function_of(hunk), line_list(miss.places)),
                          std::string(port));
  }
  if (only_line_ends_differ(file.lines, hunk)) {
    return does_not_apply(
        patch, index, "does not match the source",
        "patch and source end their lines differently (CRLF and LF): convert the patch");
  }
  if (after_others) {
    return does_not_apply(
        patch, index, "does not match the source as a diff before it leaves that",
        "diffs are applied in the order given: make this one again on top of those before");
  }
  return does_not_apply(patch, index, "does not match the source", std::string(port));
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

// The hunk without the lines of context that a fuzz leaves unlooked at: the file's own stay.
Hunk without_context(const Hunk& hunk, std::size_t leading, std::size_t trailing) {
  Hunk out = hunk;
  auto at = [](std::size_t n) { return static_cast<std::ptrdiff_t>(n); };
  out.lines.erase(out.lines.end() - at(trailing), out.lines.end());
  out.lines.erase(out.lines.begin(), out.lines.begin() + at(leading));
  out.old_count -= leading + trailing;
  out.new_count -= leading + trailing;
  return out;
}

// A line without a newline is the last of its file.
bool ends_file(const Hunk& hunk) {
  return std::ranges::any_of(
      hunk.lines, [](const HunkLine& line) { return line.kind != '-' && !line.newline; });
}

// How a hunk came to its place.
struct Landed {
  Place place;
  std::ptrdiff_t offset = 0;  // from the line that the diff says
};

// Notes of what is not as the diff says; hunks in a row that moved alike are told together.
void tell(const FilePatch& patch, const std::vector<Landed>& landed,
          std::vector<std::string>& notes) {
  for (std::size_t i = 0; i < landed.size();) {
    const auto& [place, offset] = landed[i];
    const Hunk& hunk = patch.hunks[i];
    std::size_t next = i + 1;
    std::string how;
    if (place.fuzz != 0) {
      how += fmt::format(" with fuzz {}", place.fuzz);
    }
    if (offset != 0) {
      how += fmt::format("{} {} line{} {} where the diff says", place.fuzz != 0 ? "," : "",
                         std::abs(offset), std::abs(offset) == 1 ? "" : "s",
                         offset < 0 ? "above" : "below");
    }
    if (place.others != 0) {
      how += fmt::format("{}, in {}: it would also fit elsewhere", how.empty() ? " as it says" : "",
                         function_of(hunk));
    } else if (place.heading_is_gone) {
      how += fmt::format("{}, the only place; this source has no {}",
                         how.empty() ? " where it says" : "", function_of(hunk));
    } else {
      while (next < landed.size() && landed[next].offset == offset &&
             landed[next].place.fuzz == place.fuzz && landed[next].place.others == 0 &&
             !landed[next].place.heading_is_gone) {
        ++next;
      }
    }
    // What is at its line, in its function, needs no word.
    if (place.fuzz != 0 || offset != 0 || place.heading_is_gone) {
      std::string which = next == i + 1 ? fmt::format("hunk {}", i + 1)
                                        : fmt::format("hunks {} to {}", i + 1, next);
      notes.push_back(fmt::format("{} of {} applied{}", which, patch.path, how));
    }
    i = next;
  }
}

class Applier {
 public:
  Applier(const fs::path& tree, unsigned fuzz) : tree_(tree), fuzz_(fuzz) {}

  // Of the diff of that number.
  Status apply(const FilePatch& patch, std::size_t diff);
  Applied finish();

 private:
  Result<WorkFile*> open(const std::string& path);
  Status apply_hunks(const FilePatch& patch, std::size_t diff, WorkFile& file);

  const fs::path& tree_;
  unsigned fuzz_;
  std::map<std::string, WorkFile> files_;
  std::deque<std::string> storage_;  // texts of added lines; a deque does not move them
  std::vector<std::string> notes_;
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

Status Applier::apply_hunks(const FilePatch& patch, std::size_t diff, WorkFile& file) {
  const Headings headings(file.lines);
  Surroundings around{.lines = file.lines, .headings = headings};
  std::ptrdiff_t offset = 0;  // of the hunk before
  std::vector<Landed> landed;
  for (std::size_t i = 0; i < patch.hunks.size(); ++i) {
    const Hunk& hunk = patch.hunks[i];
    const auto named =
        static_cast<std::ptrdiff_t>(hunk.old_count == 0 ? hunk.old_start : hunk.old_start - 1);
    const std::ptrdiff_t stated = named + around.grown;
    auto place = find_place(around, hunk, stated + offset, fuzz_);
    if (!place) {
      return missed(patch, i, around, stated + offset, place.error(),
                    file.diff && *file.diff != diff);
    }
    const Hunk middle = without_context(hunk, place->leading, place->trailing);
    const std::size_t at = place->at + place->leading;
    replace_lines(file.lines, middle, at, middle.old_count, storage_);
    around.floor = at + middle.new_count;
    around.grown +=
        static_cast<std::ptrdiff_t>(hunk.new_count) - static_cast<std::ptrdiff_t>(hunk.old_count);
    offset = static_cast<std::ptrdiff_t>(place->at) - stated;
    landed.push_back({*place, offset});
    if (ends_file(middle) && around.floor != file.lines.size()) {
      return does_not_apply(patch, i, "ends the file where the source goes on", std::string(port));
    }
  }
  tell(patch, landed, notes_);
  return {};
}

Status Applier::apply(const FilePatch& patch, std::size_t diff) {
  if (patch.unsupported) {
    return std::unexpected(*patch.unsupported);
  }
  WorkFile& file = *TRY(open(patch.path));
  if (patch.creates && file.exists) {
    return fail(Code::does_not_apply, patch.path, "the patch creates this file, and it is there",
                "check that the patch is not in this kernel's source already");
  }
  if (!patch.creates && !file.exists) {
    return fail(Code::does_not_apply, patch.path, "this kernel's source has no such file",
                "port the patch to this kernel's source; its names must look like a/fs/file.c");
  }
  TRY(apply_hunks(patch, diff, file));
  file.diff = diff;
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

Applied Applier::finish() {
  Applied out{.notes = std::move(notes_)};
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
    out.files.push_back(std::move(changed));
  }
  return out;
}

Result<Applied> apply_with(const std::vector<Patch>& patches, const fs::path& tree, unsigned fuzz) {
  Applier applier(tree, fuzz);
  for (std::size_t i = 0; i < patches.size(); ++i) {
    for (const FilePatch& file : patches[i].files) {
      TRY(applier.apply(file, i));
    }
  }
  return applier.finish();
}

// The smallest fuzz above `fuzz` that takes all of it; nothing where none does.
std::optional<unsigned> larger_fuzz(const std::vector<Patch>& patches, const fs::path& tree,
                                    unsigned fuzz) {
  constexpr std::size_t enough = 10;
  std::size_t most = 0;
  for (const Patch& patch : patches) {
    for (const FilePatch& file : patch.files) {
      for (const Hunk& hunk : file.hunks) {
        most = std::max(most, context_of(hunk));
      }
    }
  }
  for (unsigned larger = fuzz + 1; larger <= std::min(most, enough); ++larger) {
    if (apply_with(patches, tree, larger)) {
      return larger;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Applied> apply(const std::vector<Patch>& patches, const fs::path& tree, unsigned fuzz) {
  Result<Applied> applied = apply_with(patches, tree, fuzz);
  // With fuzz, what is there already would be made a second time.
  if (!applied && applied.error().code == Code::does_not_apply &&
      !applied.error().reason.contains(is_there_already)) {
    if (auto larger = larger_fuzz(patches, tree, fuzz)) {
      applied.error().remedy += fmt::format(
          "; or build with --fuzz {0}, with which it applies as with patch -F{0}, and check the "
          "result first",
          *larger);
    }
  }
  return applied;
}

}  // namespace suture::source
