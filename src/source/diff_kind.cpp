// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what people save as a diff is often one in another form. Read as a diff it has "no
// change in it", or hunks that match nothing, which tells nobody what to do.
//
// Method: first bytes tell binary formats, a mail's own headers tell its encoding, and the lines
// tell the other formats of diff. Where a mail's headers are gone, an encoding is taken for granted
// only if the whole text keeps to its rules.
//
// Invariant: text that holds a unified diff and keeps to no other form is never refused here.
#include "source/diff_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace suture::source {

namespace {

using namespace std::string_view_literals;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    out.push_back(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
  }
  return out;
}

struct Format {
  std::string_view magic;
  std::size_t at;
  std::string_view what;
  std::string_view remedy;
};

constexpr std::string_view unpack_first = "unpack it, and give the diffs that are in it";
constexpr Format formats[] = {
    {"\x7f"
     "ELF"sv,
     0, "a program, an object or a module (ELF)", "give the diff that it was built from"},
    {"PK\x03\x04"sv, 0, "a zip archive", unpack_first},
    {"7z\xbc\xaf\x27\x1c"sv, 0, "a 7-zip archive", unpack_first},
    {"ustar"sv, 257, "a tar archive", unpack_first},
    {"!<arch>\n"sv, 0, "a package or a library (ar)", unpack_first},
    {"\xed\xab\xee\xdb"sv, 0, "an RPM package", unpack_first},
    {"%PDF-"sv, 0, "a PDF document", "give the diff as text"},
    {"# v2 git bundle"sv, 0, "a git bundle", "fetch from it, and run git format-patch"},
    {"# v3 git bundle"sv, 0, "a git bundle", "fetch from it, and run git format-patch"},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

bool starts_diff(std::string_view line) {
  return line.starts_with("diff -") || line.starts_with("--- ") || line.starts_with("@@ -") ||
         line.starts_with("Index: ");
}

// What a mail, or a part of one, says about its own encoding in front of any diff.
std::string_view declared_encoding(const std::vector<std::string_view>& lines) {
  constexpr std::string_view key = "content-transfer-encoding:";
  for (std::string_view line : lines) {
    if (starts_diff(line)) {
      break;
    }
    const std::string header = lower(line.substr(0, 80));
    if (header.starts_with(key)) {
      for (std::string_view encoding : {"base64"sv, "quoted-printable"sv}) {
        if (header.find(encoding, key.size()) != std::string::npos) {
          return encoding;
        }
      }
    }
  }
  return {};
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

// Every '=' stands before two hex digits or the end of its line, and some do what only this
// encoding has a use for.
bool is_quoted_printable(std::string_view text) {
  bool typical = false;
  for (std::size_t at = text.find('='); at != std::string_view::npos; at = text.find('=', at + 1)) {
    std::string_view next = text.substr(at + 1, 2);
    if (next.empty() || next[0] == '\n' || next == "\r\n") {
      continue;
    }
    if (next.size() < 2 || !is_hex(next[0]) || !is_hex(next[1])) {
      return false;
    }
    typical = typical || next == "3D";
  }
  return typical;
}

bool is_base64(const std::vector<std::string_view>& lines) {
  std::size_t long_lines = 0;
  for (std::string_view line : lines) {
    bool fits = std::ranges::all_of(line, [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '+' || c == '/' || c == '=';
    });
    if (!fits) {
      return false;
    }
    long_lines += line.size() >= 60 ? 1 : 0;
  }
  return long_lines > 0 && long_lines + 2 >= lines.size();
}

// "12,14c12,15", and lines that start with "< " or "> ".
bool is_normal_diff(const std::vector<std::string_view>& lines) {
  bool command = false;
  bool marked = false;
  for (std::string_view line : lines) {
    std::size_t end = line.find_first_not_of("0123456789,");
    command = command || (end != std::string_view::npos && end > 0 && end + 1 < line.size() &&
                          "acd"sv.find(line[end]) != std::string_view::npos &&
                          line.find_first_not_of("0123456789,", end + 1) == std::string_view::npos);
    marked = marked || line.starts_with("< ") || line.starts_with("> ");
  }
  return command && marked;
}

std::unexpected<Error> is(const std::string& where, std::string_view what, std::string remedy) {
  return fail(Code::bad_diff, where, fmt::format("it is {}, and no unified diff", what),
              std::move(remedy));
}

std::unexpected<Error> encoded_mail(const std::string& where, std::string_view encoding) {
  return fail(Code::bad_diff, where,
              fmt::format("it is a mail whose text is encoded ({})", encoding),
              fmt::format("decode it: git mailinfo message.txt fix.patch <{}", where));
}

Status check_lines(std::string_view text, const std::string& where) {
  const std::vector<std::string_view> lines = lines_of(text);
  if (std::string_view encoding = declared_encoding(lines); !encoding.empty()) {
    return encoded_mail(where, encoding);
  }
  if (is_quoted_printable(text)) {
    return is(where, "text in the encoding of a mail (quoted-printable)",
              fmt::format("decode it: perl -MMIME::QuotedPrint -0777 -ne 'print decode_qp($_)' {} "
                          ">fix.patch",
                          where));
  }
  if (is_base64(lines)) {
    return is(where, "text in base64",
              fmt::format("decode it: base64 -d {} >decoded.patch", where));
  }
  if (std::ranges::any_of(lines, [](auto line) { return line.starts_with("@@ -"); })) {
    return {};
  }
  const std::string_view first = lines.empty() ? std::string_view{} : lines.front();
  const std::string start = lower(first.substr(0, 20));
  if (start.starts_with("<!doctype html") || start.starts_with("<html")) {
    return is(where, "a web page", "fetch the diff itself: the page has a link to the plain patch");
  }
  if (std::ranges::find(lines, "***************"sv) != lines.end()) {
    return is(where, "a context diff", "make it again with diff -u");
  }
  if (is_normal_diff(lines)) {
    return is(where, "a diff without context", "make it again with diff -u");
  }
  return {};
}

}  // namespace

Status check_kind(std::string_view bytes, const std::string& where) {
  for (const Format& format : formats) {
    if (bytes.size() >= format.at && bytes.substr(format.at).starts_with(format.magic)) {
      return is(where, format.what, std::string(format.remedy));
    }
  }
  for (std::string_view mark : {"\xff\xfe"sv, "\xfe\xff"sv}) {
    if (bytes.starts_with(mark)) {
      return is(where, "text in UTF-16",
                fmt::format("turn it into bytes: iconv -f UTF-16 -t UTF-8 {} >fix.patch", where));
    }
  }
  if (const std::size_t zero = bytes.find('\0'); zero != std::string_view::npos) {
    // Latin letters in UTF-16 are every other byte.
    const auto zeros = static_cast<std::size_t>(std::ranges::count(bytes, '\0'));
    if (zeros * 5 > bytes.size() * 2 && zeros * 5 < bytes.size() * 3) {
      return is(where, "text in UTF-16",
                fmt::format("turn it into bytes: iconv -f UTF-16{} -t UTF-8 {} >fix.patch",
                            zero % 2 == 0 ? "BE" : "LE", where));
    }
    return is(where, fmt::format("no text (there is a zero byte at {})", zero),
              "give a unified diff ('git diff', 'git format-patch', 'diff -ru old new')");
  }
  return check_lines(bytes, where);
}

}  // namespace suture::source
