// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a fix comes as one file or as many, packed, mailed or listed in a series, and it must be
// taken whole: of three mails all three, in their order, and nothing that only answers them.
//
// Method: a file is unpacked by what its first bytes say. A mailbox is cut where a line "From ...
// date" stands behind an empty line and before a header; the subjects' numbers ("[PATCH 2/3]") must
// then be all there and in order. A series names its diffs one a line. How many leading parts of
// the names are no part of the tree is told by which files the tree has.
//
// Invariants: nothing is left out without a note; names of a series do not lead out of its
// directory.
#include "source/diff_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kernel/decompress.h"
#include "source/diff_kind.h"

namespace suture::source {

namespace {

constexpr std::string_view no_change = "there is no change in it";

// "From 1c4...9 Mon Sep 17 00:00:00 2001", and nothing else that starts so.
bool is_separator(std::string_view line) {
  if (!line.starts_with("From ") || line.size() < 30) {
    return false;
  }
  // The date: "Mon Sep 17 00:00:00 2001".
  constexpr std::string_view form = "Aaa Aaa dd dd:dd:dd dddd";
  std::string_view date = line.substr(line.size() - form.size());
  for (std::size_t i = 0; i < form.size(); ++i) {
    bool digit = date[i] >= '0' && date[i] <= '9';
    bool letter = (date[i] >= 'A' && date[i] <= 'Z') || (date[i] >= 'a' && date[i] <= 'z');
    bool fits = form[i] == 'd'                     ? digit || date[i] == ' '
                : form[i] == 'A' || form[i] == 'a' ? letter
                                                   : date[i] == form[i];
    if (!fits) {
      return false;
    }
  }
  return true;
}

bool is_header(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && ((line[end] >= 'A' && line[end] <= 'Z') || line[end] == '-' ||
                               (line[end] >= 'a' && line[end] <= 'z'))) {
    ++end;
  }
  return end > 0 && end < line.size() && line[end] == ':';
}

std::string_view line_at(std::string_view text, std::size_t at) {
  std::string_view line = text.substr(at, text.find('\n', at) - at);
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

// The mails of a mailbox; nothing where the text is none.
std::vector<std::string_view> mails_of(std::string_view text) {
  std::vector<std::size_t> starts;
  bool after_empty = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::size_t next = end == std::string_view::npos ? text.size() : end + 1;
    const std::string_view line = line_at(text, at);
    if (after_empty && is_separator(line) && is_header(line_at(text, next))) {
      starts.push_back(at);
    }
    after_empty = line.empty();
    at = next;
  }
  if (starts.empty() || starts.front() != 0) {
    return {};
  }
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    std::size_t end = i + 1 < starts.size() ? starts[i + 1] : text.size();
    out.push_back(text.substr(starts[i], end - starts[i]));
  }
  return out;
}

// Of the mail's own headers, unfolded.
std::string subject_of(std::string_view mail) {
  for (std::size_t at = 0; at < mail.size();) {
    std::string_view line = line_at(mail, at);
    if (line.empty()) {
      break;
    }
    at = std::min(mail.size(), mail.find('\n', at)) + 1;
    if (!line.starts_with("Subject:")) {
      continue;
    }
    std::string out(line.substr(std::string_view("Subject:").size()));
    while (at < mail.size() && (mail[at] == ' ' || mail[at] == '\t')) {
      out += line_at(mail, at);
      at = std::min(mail.size(), mail.find('\n', at)) + 1;
    }
    out.erase(0, out.find_first_not_of(" \t"));
    return out;
  }
  return {};
}

struct Number {
  unsigned of = 0, all = 0;
  bool operator==(const Number&) const = default;
};

// "[PATCH v2 2/3] ...": 2 of 3.
std::optional<Number> number_in(std::string_view subject) {
  if (!subject.starts_with('[')) {
    return std::nullopt;
  }
  subject = subject.substr(0, subject.find(']'));
  std::size_t slash = subject.rfind('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  std::size_t start = slash;
  while (start > 0 && subject[start - 1] >= '0' && subject[start - 1] <= '9') {
    --start;
  }
  Number out;
  auto first = std::from_chars(subject.data() + start, subject.data() + slash, out.of);
  auto second =
      std::from_chars(subject.data() + slash + 1, subject.data() + subject.size(), out.all);
  if (first.ec != std::errc{} || second.ec != std::errc{} ||
      second.ptr != subject.data() + subject.size()) {
    return std::nullopt;
  }
  return out;
}

bool is_answer(std::string_view subject) {
  return subject.size() >= 3 && (subject[0] == 'R' || subject[0] == 'r') &&
         (subject[1] == 'e' || subject[1] == 'E') && subject[2] == ':';
}

std::string mail_name(const std::string& where, std::size_t index) {
  return fmt::format("{} (mail {})", where, index + 1);
}

// Of a numbered series every mail must be there, in order.
Status check_numbers(const std::vector<std::optional<Number>>& numbers, const std::string& where) {
  const std::optional<Number>& first = numbers.empty() ? std::nullopt : numbers.front();
  if (!first || std::ranges::any_of(numbers, [&](const auto& number) {
        return !number || number->all != first->all;
      })) {
    return {};  // several series, or none
  }
  for (std::size_t i = 0; i < std::max<std::size_t>(numbers.size(), first->all); ++i) {
    if (i >= numbers.size() || numbers[i]->of != i + 1) {
      const bool there = std::ranges::find(numbers, Number{static_cast<unsigned>(i) + 1,
                                                           first->all}) != numbers.end();
      return fail(Code::bad_diff, where,
                  fmt::format("{}/{} of its series {}", i + 1, first->all,
                              there ? "does not stand in its place" : "is not in it"),
                  there ? "put the mails in order ('b4 am' does)"
                        : "get the whole mailbox; or give mails that are meant alone as files of "
                          "their own");
    }
  }
  return {};
}

Result<DiffTexts> mailbox(const std::vector<std::string_view>& mails, const std::string& where) {
  DiffTexts out;
  std::vector<std::optional<Number>> numbers;
  for (std::size_t i = 0; i < mails.size(); ++i) {
    const std::string name = mails.size() == 1 ? where : mail_name(where, i);
    if (Status kind = check_kind(mails[i], name); !kind) {
      Error error = kind.error();
      if (mails.size() > 1) {
        error.remedy = fmt::format(
            "take it apart with 'git mailsplit -omails {}', and decode each: git mailinfo "
            "message.txt "
            "fix.patch <mails/0001",
            where);
      }
      return std::unexpected(std::move(error));
    }
    const std::string subject = subject_of(mails[i]);
    const std::optional<Number> number = number_in(subject);
    // An answer may quote or propose a diff; a cover letter has none.
    const bool cover = number && number->of == 0;
    if (mails.size() > 1 && (is_answer(subject) || cover)) {
      out.notes.push_back(fmt::format("{}: left out, it is {}: {}", name,
                                      cover ? "a cover letter" : "an answer", subject));
      continue;
    }
    numbers.push_back(number);
    out.diffs.push_back({.name = name, .text = std::string(mails[i]), .strip = {}});
  }
  TRY(check_numbers(numbers.size() > 1 ? numbers : decltype(numbers){}, where));
  if (out.diffs.empty()) {
    return fail(Code::bad_diff, where, std::string(no_change),
                "give the mails that have the diffs");
  }
  return out;
}

// A path of a series that stays in its directory.
bool stays_inside(const fs::path& path) {
  return path.is_relative() && std::ranges::find(path, fs::path("..")) == path.end();
}

// Lines of a series: "name [-pN]", and what '#' starts.
Result<DiffTexts> series(std::string_view text, const fs::path& file) {
  DiffTexts out;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size(); at = std::min(text.size(), text.find('\n', at)) + 1) {
    ++number;
    std::string_view line = line_at(text, at);
    line = line.substr(0, line.starts_with('#') ? 0 : line.find(" #"));
    std::vector<std::string> words;
    for (std::size_t start = line.find_first_not_of(" \t"); start != std::string_view::npos;) {
      std::size_t end = line.find_first_of(" \t", start);
      words.emplace_back(line.substr(start, end - start));
      start = line.find_first_not_of(" \t", std::min(end, line.size()));
    }
    if (words.empty()) {
      continue;
    }
    auto wrong = [&](std::string reason) {
      return fail(Code::bad_diff, fmt::format("{}:{}", file.string(), number), std::move(reason),
                  "write one diff a line, as quilt has it: NAME or NAME -pN");
    };
    if (!stays_inside(words[0])) {
      return fail(Code::unsafe_path, fmt::format("{}:{}", file.string(), number),
                  fmt::format("'{}' leads out of the series' directory", words[0]),
                  "put the diff beside the series");
    }
    std::optional<unsigned> strip;
    for (std::size_t i = 1; i < words.size(); ++i) {
      unsigned value = 0;
      std::string_view word = words[i];
      if (!word.starts_with("-p") ||
          std::from_chars(word.data() + 2, word.data() + word.size(), value).ptr !=
              word.data() + word.size()) {
        return wrong(fmt::format("'{}' is not understood", word));
      }
      strip = value;
    }
    const fs::path path = file.parent_path() / words[0];
    const Bytes bytes = TRY(read_bytes(path));
    DiffTexts one = TRY(diffs_in(bytes, path.string()));
    for (DiffText& diff : one.diffs) {
      diff.strip = strip;
      out.diffs.push_back(std::move(diff));
    }
    std::ranges::move(one.notes, std::back_inserter(out.notes));
  }
  if (out.diffs.empty()) {
    return fail(Code::bad_diff, file.string(), "the series names no diff", "give one that does");
  }
  return out;
}

// Not called "series", but its first line names a file beside it, and it holds no diff.
bool looks_like_series(std::string_view text, const fs::path& path) {
  if (text.find("\n@@ -") != std::string_view::npos || text.starts_with("@@ -")) {
    return false;
  }
  for (std::size_t at = 0; at < text.size(); at = std::min(text.size(), text.find('\n', at)) + 1) {
    std::string_view line = line_at(text, at);
    std::string_view name = line.substr(0, line.find_first_of(" \t"));
    std::error_code ec;
    if (!name.empty() && !name.starts_with('#')) {
      return name.size() < 256 && stays_inside(name) &&
             fs::is_regular_file(path.parent_path() / name, ec);
    }
  }
  return false;
}

// Whether all files that the diff changes are there, and any is; `creates` says nothing of the
// tree.
struct Found {
  bool all = true, any = false, wanted = false;
};

Found found_in(const Patch& patch, const fs::path& tree) {
  Found out;
  for (const FilePatch& file : patch.files) {
    // A rename alone is named without the prefixes that are to be stripped.
    if (file.creates || (!file.from.empty() && file.hunks.empty())) {
      continue;
    }
    std::error_code ec;
    const bool there = fs::exists(tree / (file.from.empty() ? file.path : file.from), ec);
    // Names that differ between the sides are a rename, or have the wrong number stripped.
    out.wanted = true;
    out.all = out.all && there;
    out.any = out.any || there;
  }
  return out;
}

}  // namespace

Result<DiffTexts> diffs_in(ByteView bytes, const std::string& where) {
  Bytes unpacked;
  if (kernel::compression_of(bytes) != kernel::Compression::none) {
    unpacked = TRY(kernel::decompress_all(bytes, where, Code::bad_diff));
    bytes = unpacked;
  }
  std::string_view text = as_text(bytes);
  if (text.starts_with("\xef\xbb\xbf")) {
    text.remove_prefix(3);  // a mark that editors put in front of UTF-8
  }
  if (std::vector<std::string_view> mails = mails_of(text); !mails.empty()) {
    return mailbox(mails, where);
  }
  TRY(check_kind(text, where));
  return DiffTexts{.diffs = {{.name = where, .text = std::string(text), .strip = {}}}, .notes = {}};
}

// "./fs/x.c" with -p0 is what "fs/x.c" is with -p1.
bool same_files(const Patch& one, const Patch& other) {
  return std::ranges::equal(
      one.files, other.files, {},
      [](const FilePatch& file) { return fs::path(file.path).lexically_normal(); },
      [](const FilePatch& file) { return fs::path(file.path).lexically_normal(); });
}

Result<DiffTexts> read_diffs(const fs::path& path) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    for (const fs::path& inside : {path / "series", path / "patches" / "series"}) {
      if (fs::is_regular_file(inside, ec)) {
        return series(TRY(read_text(inside)), inside);
      }
    }
    return fail(
        Code::bad_diff, path.string(), "it is a directory without a file 'series'",
        "name the diffs one by one, in their order, or write a series file as quilt has it");
  }
  const Bytes bytes = TRY(read_bytes(path));
  const std::string_view text = as_text(bytes);
  if (path.filename() == "series" || looks_like_series(text, path)) {
    return series(text, path);
  }
  return diffs_in(bytes, path.string());
}

Result<Patch> parse_for_tree(const DiffText& diff, const fs::path& tree,
                             std::optional<unsigned> strip, std::vector<std::string>& notes) {
  Result<Patch> usual = parse_patch(diff.text, diff.name, strip.value_or(1));
  if (strip || (!usual && usual.error().code != Code::unsafe_path)) {
    return usual;
  }
  const Found as_usual = usual ? found_in(*usual, tree) : Found{.all = false};
  if (usual && !as_usual.wanted) {
    return usual;
  }
  std::vector<unsigned> fitting;
  for (unsigned other : {0U, 2U, 3U, 4U}) {
    // What names a file by one part less and by one part more is told by the prefix: a/ and b/.
    if (as_usual.any && other != 0) {
      break;
    }
    Result<Patch> patch = parse_patch(diff.text, diff.name, other);
    const Found found = patch ? found_in(*patch, tree) : Found{};
    if (patch && found.wanted && found.all && !(usual && same_files(*usual, *patch))) {
      fitting.push_back(other);
    }
  }
  if (fitting.size() > 1 || (fitting.size() == 1 && as_usual.all)) {
    return fail(Code::usage, diff.name,
                fmt::format("its names are files of the source both with -p{} and with -p{}",
                            fitting.size() > 1 ? fitting[0] : 1, fitting.back()),
                "say how many leading parts of the names to strip: -pN");
  }
  if (fitting.empty()) {
    return usual;
  }
  notes.push_back(
      fmt::format("{}: its names are files of the source with -p{}", diff.name, fitting.front()));
  return parse_patch(diff.text, diff.name, fitting.front());
}

}  // namespace suture::source
