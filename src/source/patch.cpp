// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: read a unified diff as git, quilt, diff -u and diff -ru write it, and never take a
// damaged one for a good one: a patch that lost its last lines in the mail still has the shape of a
// patch.
//
// Method: one pass over the lines. Outside a file's section every line is prose, unless it starts a
// section (`diff `, `Index: `, or `--- ` followed by `+++ `). What hunks cannot say (binary,
// rename, link) is kept with the file as the error that it is where the file matters. Inside a hunk
// the header's counts rule: exactly so many old and new lines are taken, and the line after them
// may not look like one more.
//
// Invariants of what is returned: every path is relative and stays inside the tree; hunks are in
// order and do not overlap; a line without a newline is the last of its side.
#include "source/patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/digest.h"

namespace suture::source {

namespace {

// Larger than any source file; keeps the arithmetic on line numbers far from wrapping.
constexpr std::size_t max_line = 1U << 30;

constexpr std::string_view resend = "get the whole patch again; it was cut off or edited by hand";

bool starts_number(std::string_view text) {
  return !text.empty() && text.front() >= '0' && text.front() <= '9';
}

// Takes a line number off the front of `text`.
std::optional<std::size_t> take_number(std::string_view& text) {
  if (!starts_number(text)) {
    return std::nullopt;
  }
  std::size_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > max_line) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

// "12,3" or "12", which means one line.
bool take_range(std::string_view& text, std::size_t& start, std::size_t& count) {
  auto first = take_number(text);
  if (!first) {
    return false;
  }
  start = *first;
  count = 1;
  if (take(text, ",")) {
    auto second = take_number(text);
    if (!second) {
      return false;
    }
    count = *second;
  }
  return count == 0 || start > 0;
}

std::string trimmed(std::string_view text) {
  std::size_t start = text.find_first_not_of(" \t\r\n");
  std::size_t end = text.find_last_not_of(" \t\r\n");
  return start == std::string_view::npos ? std::string{}
                                         : std::string(text.substr(start, end + 1 - start));
}

// A name as git quotes it when it holds unusual bytes: "a/f\303\266.c". Nothing where the quoting
// is broken.
std::optional<std::string> unquote(std::string_view text) {
  std::string out;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      return out;
    }
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) {
      break;
    }
    static constexpr std::string_view letters = "abtnvfr";
    if (std::size_t letter = letters.find(text[i]); letter != std::string_view::npos) {
      out += static_cast<char>('\a' + letter);
    } else if (text[i] >= '0' && text[i] <= '3' && i + 2 < text.size()) {
      int value = 0;
      for (std::size_t digit = 0; digit < 3; ++digit) {
        if (text[i + digit] < '0' || text[i + digit] > '7') {
          return std::nullopt;
        }
        value = value * 8 + (text[i + digit] - '0');
      }
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return std::nullopt;
}

// One side of a file header: what follows "--- " or "+++ ".
struct NamedFile {
  std::string name;
  bool missing = false;  // /dev/null
  bool epoch = false;    // dated 1970-01-01, as diff -N dates a file that is not there
};

std::optional<NamedFile> named_file(std::string_view text) {
  NamedFile out;
  std::string_view stamp;
  if (text.starts_with('"')) {
    auto name = unquote(text);
    if (!name) {
      return std::nullopt;
    }
    out.name = *name;
  } else {
    std::size_t tab = text.find('\t');
    out.name = text.substr(0, tab);
    stamp = tab == std::string_view::npos ? std::string_view{} : text.substr(tab + 1);
  }
  out.missing = out.name == "/dev/null";
  // In local time, so it may still be the day before.
  out.epoch = stamp.starts_with("1970-01-01 ") || stamp.starts_with("1969-12-31 ");
  return out;
}

// What stands before the first hunk of a file's section.
struct Section {
  std::string git_path;  // from "diff --git", only where both names agree
  bool open = false;     // a section has begun, and no hunk has come yet
  bool git = false;
  bool creates = false;
  bool deletes = false;
  bool mode_changes = false;
  bool empty_blob = false;  // what is created or deleted is an empty file
  bool has_text = false;    // it is not: hunks must follow
  std::string from, to;     // of a rename or copy, without the prefixes that the names have else
  bool copies = false;
  std::optional<Error> unsupported;  // what hunks cannot say
};

class Parser {
 public:
  Parser(std::string_view text, const std::string& where, unsigned strip)
      : text_(text), where_(where), strip_(strip) {}

  Result<Patch> parse();

 private:
  bool at_end() const { return position_ >= text_.size(); }
  // The line at `position_`, without its newline; `next` is where the following one starts.
  std::string_view peek(std::size_t& next) const;
  std::string_view peek_header() const;  // the same without the carriage return of a CRLF diff
  void advance();
  bool next_is_new_name() const;

  std::unexpected<Error> bad(std::string reason) const {
    return fail(Code::bad_diff, fmt::format("{}:{}", where_, line_), std::move(reason),
                std::string(resend));
  }
  Error unsupported(std::string reason, std::string_view remedy) const {
    return Error{Code::unsupported_file, fmt::format("{}:{}", where_, line_), std::move(reason),
                 std::string(remedy)};
  }
  Error renamed(const std::string& from, const std::string& to, bool copies) const;

  Result<std::string> tree_path(const std::string& name, unsigned strip) const;
  Result<std::string> tree_path(const std::string& name) const { return tree_path(name, strip_); }
  Status prose(std::string_view line);
  Status binary(std::string_view names);
  void git_header(std::string_view line);
  Status finish_section();
  bool ends_in_header() const;
  Status file();
  Result<Hunk> hunk();
  Status hunk_line(Hunk& hunk, std::size_t& old_left, std::size_t& new_left);
  Status no_newline(Hunk& hunk);
  Status check_hunk(const Hunk& hunk, const FilePatch& file) const;

  std::string_view text_;
  const std::string& where_;
  unsigned strip_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;  // of position_
  std::optional<std::size_t> description_end_;
  Section section_;
  Patch patch_;
};

// "fs/x.c 2026-11-30 10:46:55": a tab stands between the two where nothing has replaced it.
bool holds_a_time(std::string_view name) {
  constexpr std::string_view form = " 0000-00-00 00:00:00";
  auto fits = [&](std::size_t at) {
    return std::ranges::equal(form, name.substr(at, form.size()), [](char wanted, char is) {
      return wanted == '0' ? is >= '0' && is <= '9' : wanted == is;
    });
  };
  for (std::size_t at = 0; at + form.size() <= name.size(); ++at) {
    if (fits(at)) {
      return true;
    }
  }
  return false;
}

std::string_view Parser::peek(std::size_t& next) const {
  std::size_t end = text_.find('\n', position_);
  next = end == std::string_view::npos ? text_.size() : end + 1;
  return text_.substr(position_, (end == std::string_view::npos ? text_.size() : end) - position_);
}

std::string_view Parser::peek_header() const {
  std::size_t next = 0;
  std::string_view line = peek(next);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

void Parser::advance() {
  std::size_t next = 0;
  peek(next);
  position_ = next;
  ++line_;
}

bool Parser::next_is_new_name() const {
  std::size_t next = 0;
  peek(next);
  return text_.substr(next).starts_with("+++ ");
}

// The path inside the tree: the name without its first components, as patch -pN has it.
Result<std::string> Parser::tree_path(const std::string& name, unsigned strip) const {
  auto unsafe = [&](std::string_view why) {
    return fail(Code::unsafe_path, fmt::format("{}:{}", where_, line_),
                fmt::format("the patch names '{}', {}", name, why),
                "make the patch with 'git diff' or 'diff -ru old new' from beside the trees");
  };
  if (name.empty() || name.find('\0') != std::string::npos) {
    return unsafe("which is no file name");
  }
  if (holds_a_time(name)) {
    return fail(
        Code::bad_diff, fmt::format("{}:{}", where_, line_),
        fmt::format("the tabs of the diff have become spaces: '{}' is a name and a time", name),
        "get the diff as a file or an attachment; text that is copied loses its tabs");
  }
  if (name.starts_with('/')) {
    return unsafe("an absolute path");
  }
  fs::path stripped;
  unsigned left = strip;
  for (const fs::path& part : fs::path(name)) {
    if (part == "..") {
      return unsafe("which leaves the tree");
    }
    if (left > 0) {
      --left;
    } else if (part != "." && !part.empty()) {
      stripped /= part;
    }
  }
  if (stripped.empty()) {
    return unsafe(strip == 1 ? "which has no directory to strip: names must look like a/fs/file.c"
                             : fmt::format("of which -p{} leaves nothing", strip));
  }
  return stripped.string();
}

// Two names with `between` between them of which all but the first part is the same: the first one
// (the line alone cannot tell two different names with blanks apart).
std::string same_names(std::string_view both, std::string_view between) {
  if (both.size() < between.size()) {
    return {};
  }
  for (std::size_t at = both.find(between); at != std::string_view::npos;
       at = both.find(between, at + 1)) {
    std::string_view left = both.substr(0, at);
    std::string_view right = both.substr(at + between.size());
    std::size_t slash = left.find('/');
    std::size_t other = right.find('/');
    if (slash != std::string_view::npos && other != std::string_view::npos &&
        left.substr(slash) == right.substr(other)) {
      return std::string(left);
    }
  }
  return {};
}

// "diff --git a/NAME b/NAME": the name, where both are the same; only renames have others.
std::string git_names(std::string_view rest) {
  return rest.starts_with('"') ? unquote(rest).value_or("") : same_names(rest, " ");
}

Error Parser::renamed(const std::string& from, const std::string& to, bool copies) const {
  return copies ? unsupported(fmt::format("the diff copies {} to {}", from, to),
                              "put the new code into a file that this kernel has")
                : unsupported(fmt::format("the diff renames {} to {}", from, to),
                              "the running kernel was built from the old name: make the change "
                              "there, without the rename");
}

// A git section without hunks still creates or deletes an empty file, or changes a mode, which is
// nothing to a kernel.
Status Parser::finish_section() {
  Section section = std::exchange(section_, {});
  if (!section.git) {
    return {};  // diff -N says no more of an empty file
  }
  const unsigned past_prefix = strip_ == 0 ? 0 : strip_ - 1;
  FilePatch file;
  if (!section.from.empty() && !section.to.empty()) {
    file.from = TRY(tree_path(section.from, past_prefix));
    file.path = TRY(tree_path(section.to, past_prefix));
    file.unsupported = renamed(file.from, file.path, section.copies);
    patch_.files.push_back(std::move(file));
    return {};
  }
  bool empty_file = section.creates != section.deletes && section.empty_blob;
  if (!section.unsupported && (section.has_text || (!empty_file && !section.mode_changes))) {
    return bad("the header of a file is not followed by its hunks");
  }
  if (!section.unsupported && !empty_file) {
    return {};
  }
  if (section.git_path.empty()) {
    return bad("a file is changed without a name");
  }
  file.path = TRY(tree_path(section.git_path));
  file.creates = section.creates;
  file.deletes = section.deletes;
  file.unsupported = std::move(section.unsupported);
  patch_.files.push_back(std::move(file));
  return {};
}

constexpr std::string_view leave_binary = "leave it out: only source can be live-patched";

// An extended header line of git, before "--- ".
void Parser::git_header(std::string_view line) {
  for (std::string_view what : {"rename", "copy"}) {
    std::string_view rest = line;
    if (!take(rest, what)) {
      continue;
    }
    section_.copies = section_.copies || what == "copy";
    std::string* name = take(rest, " from ") ? &section_.from
                        : take(rest, " to ") ? &section_.to
                                             : nullptr;
    if (name != nullptr) {
      *name = rest.starts_with('"') ? unquote(rest).value_or("") : std::string(rest);
    }
  }
  if (line == "GIT binary patch") {
    section_.unsupported =
        unsupported("the diff changes a binary file: " + section_.git_path, leave_binary);
  }
  bool makes = line.starts_with("new file mode ");
  bool removes = line.starts_with("deleted file mode ");
  if ((makes || removes) && !line.ends_with("100644") && !line.ends_with("100755")) {
    section_.unsupported =
        unsupported(fmt::format("the patch changes something that is no plain file: '{}'", line),
                    "leave symbolic links and submodules out of the patch");
  }
  if (take(line, "index ")) {
    std::size_t dots = line.find("..");
    bool some = dots != std::string_view::npos;
    std::string_view side = section_.creates && some ? line.substr(dots + 2) : line;
    section_.empty_blob = side.starts_with("e69de29");
    section_.has_text = !section_.empty_blob;
  }
  section_.mode_changes = section_.mode_changes || line.starts_with("new mode ");
  section_.creates = section_.creates || makes;
  section_.deletes = section_.deletes || removes;
}

// "Binary files a/NAME and b/NAME differ", without the first and the last words.
Status Parser::binary(std::string_view names) {
  constexpr std::string_view nothing = "/dev/null";
  FilePatch file;
  std::string name = same_names(names, " and ");
  if (name.empty() && section_.git) {
    name = section_.git_path;
  } else if (name.empty() && take(names, fmt::format("{} and ", nothing))) {
    file.creates = true;
    name = names;
  } else if (name.empty() && names.ends_with(fmt::format(" and {}", nothing))) {
    file.deletes = true;
    name = names.substr(0, names.size() - nothing.size() - 5);
  }
  if (name.empty()) {
    return bad("a binary file is changed, and its name cannot be told");
  }
  file.path = TRY(tree_path(name));
  file.unsupported = unsupported("the diff changes a binary file: " + file.path, leave_binary);
  if (section_.git) {
    section_.unsupported = std::move(file.unsupported);
  } else {
    patch_.files.push_back(std::move(file));
  }
  return {};
}

// Whether the line begins the part of a diff that belongs to a file, or is diff -r's own remark.
bool starts_section(std::string_view line) {
  return line.starts_with("diff --git ") || line.starts_with("diff -") ||
         line.starts_with("Index: ") ||
         (line.starts_with("Only in ") && line.find(": ") != std::string_view::npos);
}

Status Parser::prose(std::string_view line) {
  if (line.starts_with("diff --cc ") || line.starts_with("diff --combined ") ||
      line.starts_with("@@@ -")) {
    return fail(Code::bad_diff, fmt::format("{}:{}", where_, line_),
                "it is a combined diff, as git shows a merge: it says of no side all that changes",
                "make a diff against one parent: git diff MERGE^1 MERGE");
  }
  if (starts_section(line)) {
    TRY(finish_section());
    description_end_ = description_end_.value_or(position_);
    section_.open = !line.starts_with("Only in ");
    if (take(line, "diff --git ")) {
      section_.git = true;
      section_.git_path = git_names(line);
    }
  } else if (std::string_view names = line;
             take(names, "Binary files ") && names.ends_with(" differ")) {
    TRY(binary(names.substr(0, names.size() - std::string_view(" differ").size())));
  } else if (line.starts_with("@@ -")) {
    return bad("a hunk without a file header");
  } else if (line.starts_with("--- ") && section_.open) {
    return bad("the header of a file is cut off");
  } else if (section_.git) {
    git_header(line);
  }
  advance();
  return {};
}

// One "\ No newline at end of file": it speaks of the line before it.
Status Parser::no_newline(Hunk& hunk) {
  if (hunk.lines.empty()) {
    return bad("a hunk starts with '\\ No newline'");
  }
  hunk.lines.back().newline = false;
  return {};
}

Status Parser::hunk_line(Hunk& hunk, std::size_t& old_left, std::size_t& new_left) {
  std::size_t next = 0;
  std::string_view line = peek(next);
  char kind = line.empty() || line == "\r" ? ' ' : line.front();
  if (kind == '\\') {
    return no_newline(hunk);
  }
  bool takes_old = kind == ' ' || kind == '-';
  bool takes_new = kind == ' ' || kind == '+';
  if (!takes_old && !takes_new) {
    return bad(fmt::format("the hunk ends {} old and {} new lines before its header says", old_left,
                           new_left));
  }
  if ((takes_old && old_left == 0) || (takes_new && new_left == 0)) {
    return bad("the hunk has other lines than its header counts");
  }
  old_left -= takes_old ? 1 : 0;
  new_left -= takes_new ? 1 : 0;
  // Some mailers and editors strip the blank of an empty context line.
  bool stripped = line.empty() || line == "\r";
  hunk.lines.push_back({kind, std::string(stripped ? line : line.substr(1)), true});
  return {};
}

Result<Hunk> Parser::hunk() {
  Hunk hunk;
  std::string_view header = peek_header();
  if (!take(header, "@@ -") || !take_range(header, hunk.old_start, hunk.old_count) ||
      !take(header, " +") || !take_range(header, hunk.new_start, hunk.new_count) ||
      !take(header, " @@")) {
    return bad("this is no hunk header");
  }
  if (hunk.old_count == 0 && hunk.new_count == 0) {
    return bad("the hunk is empty");
  }
  hunk.heading = trimmed(header);
  advance();
  std::size_t old_left = hunk.old_count;
  std::size_t new_left = hunk.new_count;
  while (old_left > 0 || new_left > 0) {
    if (at_end()) {
      return bad(fmt::format("the patch ends inside a hunk: {} old and {} new lines are missing",
                             old_left, new_left));
    }
    TRY(hunk_line(hunk, old_left, new_left));
    advance();
  }
  // A context line that is cut off will not match; an added one would go in as it is.
  if (at_end() && !text_.ends_with('\n') && hunk.lines.back().kind == '+') {
    return bad("the patch ends inside a line");
  }
  if (!at_end() && peek_header().starts_with('\\')) {
    TRY(no_newline(hunk));
    advance();
  }
  // "-- " is how git ends the patch in a mail.
  std::string_view after = peek_header();
  bool signature = after == "-- " || after == "--";
  bool header_follows = after.starts_with("--- ") && next_is_new_name();
  if (!at_end() && !signature && !header_follows && !after.empty() &&
      std::string_view(" +-").find(after.front()) != std::string_view::npos) {
    return bad("the hunk has more lines than its header counts");
  }
  return hunk;
}

Status Parser::check_hunk(const Hunk& hunk, const FilePatch& file) const {
  // A hunk of no old lines stands behind the line that it names.
  auto first_line = [](const Hunk& of) { return of.old_start + (of.old_count == 0 ? 1 : 0); };
  if (!file.hunks.empty()) {
    const Hunk& before = file.hunks.back();
    if (first_line(hunk) < first_line(before) + before.old_count) {
      return bad("the hunks overlap or are out of order");
    }
  }
  for (char side : {'-', '+'}) {
    bool ended = false;
    for (const HunkLine& line : hunk.lines) {
      if (line.kind != ' ' && line.kind != side) {
        continue;
      }
      if (ended) {
        return bad("a line without a newline is not the last of its file");
      }
      ended = !line.newline;
    }
  }
  return {};
}

// A file header and its hunks.
Status Parser::file() {
  auto old_name = named_file(peek_header().substr(4));
  advance();
  auto new_name = named_file(peek_header().substr(4));
  if (!old_name || !new_name || (old_name->missing && new_name->missing)) {
    return bad("this is no file header");
  }
  Section section = std::exchange(section_, {});
  FilePatch file;
  file.unsupported = std::move(section.unsupported);
  if (old_name->name == "/dev/null") {
    file.path = TRY(tree_path(new_name->name));
  } else if (new_name->name == "/dev/null") {
    file.path = TRY(tree_path(old_name->name));
  } else {
    std::string old_path = TRY(tree_path(old_name->name));
    file.path = TRY(tree_path(new_name->name));
    if (old_path != file.path && old_path != file.path + ".orig") {
      file.unsupported = renamed(old_path, file.path, section.copies);
      file.from = std::move(old_path);
    }
  }
  advance();
  while (!at_end() && peek_header().starts_with("@@ -")) {
    Hunk hunk = TRY(this->hunk());
    TRY(check_hunk(hunk, file));
    file.hunks.push_back(std::move(hunk));
  }
  if (file.hunks.empty()) {
    return bad(fmt::format("no hunk follows the header of '{}'", file.path));
  }
  // A real file may be dated at the epoch too; then it has lines.
  file.creates =
      section.creates || old_name->missing || (old_name->epoch && file.hunks[0].old_start == 0);
  file.deletes =
      section.deletes || new_name->missing || (new_name->epoch && file.hunks[0].new_start == 0);
  if (file.creates && file.deletes) {
    return bad("the patch both creates and deletes the file");
  }
  if ((file.creates && (file.hunks.size() != 1 || file.hunks[0].old_count != 0)) ||
      (file.deletes && (file.hunks.size() != 1 || file.hunks[0].new_count != 0))) {
    return bad(fmt::format("'{}' is created or deleted, and has lines on both sides", file.path));
  }
  patch_.files.push_back(std::move(file));
  return {};
}

// Whether the text breaks off where a header was beginning.
bool Parser::ends_in_header() const {
  if (text_.empty() || text_.ends_with('\n')) {
    return false;
  }
  std::string_view last = text_.substr(text_.rfind('\n') + 1);
  return section_.open || std::string_view("diff --git ").starts_with(last) ||
         std::string_view("@@ -").starts_with(last) || last.starts_with("--- ");
}

Result<Patch> Parser::parse() {
  patch_.sha256 = sha256_hex(as_bytes(text_));
  while (!at_end()) {
    std::string_view line = peek_header();
    if (line.starts_with("--- ") && next_is_new_name()) {
      description_end_ = description_end_.value_or(position_);
      TRY(file());
    } else {
      TRY(prose(line));
    }
  }
  if (ends_in_header()) {
    return bad("the patch ends inside the header of a file");
  }
  TRY(finish_section());
  if (patch_.files.empty()) {
    return fail(Code::bad_diff, where_, "there is no change in it",
                "give a unified diff ('git diff', 'git format-patch', 'diff -ru old new')");
  }
  patch_.description = trimmed(text_.substr(0, description_end_.value_or(0)));
  return std::move(patch_);
}

}  // namespace

Result<Patch> parse_patch(std::string_view text, const std::string& where, unsigned strip) {
  return Parser(text, where, strip).parse();
}

}  // namespace suture::source
