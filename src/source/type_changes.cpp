// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: comparing layouts needs type information of both sides, which costs the compiler a third
// of its time, and most diffs change no more than a few lines inside functions.
//
// Method: blank the bodies of functions in both texts, and see whether the rest is the same. A body
// is what the kernel's coding style makes it: from a line "{" after a line that ends with a closing
// parenthesis, to a line "}". What does not look like that stays in the text, and so counts.
//
// Invariant: an error of this reading may only make the answer true.
#include "source/type_changes.h"

#include <algorithm>
#include <optional>
#include <string>

#include "source/c_text.h"

namespace suture::source {

namespace {

std::string_view trim_right(std::string_view line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) {
    line.remove_suffix(1);
  }
  return line;
}

std::string_view take_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return trim_right(line);
}

// A type is defined here: "struct x {", "enum {"; not the "(struct x) {" of a literal.
bool defines_type(std::string_view line) {
  for (std::string_view keyword : {"struct", "union", "enum", "typedef"}) {
    for (std::size_t at = line.find(keyword); at != std::string_view::npos;
         at = line.find(keyword, at + 1)) {
      if (keyword == "typedef") {
        return true;
      }
      std::string_view rest = line.substr(at + keyword.size());
      std::size_t stop = rest.find_first_not_of(" \t");
      while (stop < rest.size() && is_name_char(rest[stop])) {
        ++stop;
      }
      stop = rest.find_first_not_of(" \t", stop);
      if (stop == std::string_view::npos || rest[stop] == '{') {
        return true;
      }
    }
  }
  return false;
}

// The text without the bodies of its functions, but for those that a type may be defined in;
// nothing where a body does not end.
std::optional<std::string> without_bodies(std::string_view text) {
  std::string out;
  std::string_view before;  // the last line outside that is not empty
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (line == "{" && before.ends_with(')')) {
      std::string body;
      bool keep = false;
      do {
        if (text.empty()) {
          return std::nullopt;
        }
        line = take_line(text);
        body += line;
        body += '\n';
        keep = keep || defines_type(line) || line.starts_with('#');
      } while (!line.starts_with('}'));
      out += keep || line != "}" ? body : std::string();
      line = "{}";
    }
    out += line;
    out += '\n';
    before = line.empty() ? before : line;
  }
  return out;
}

}  // namespace

bool may_change_types(std::string_view before, std::string_view after) {
  auto left = without_bodies(before);
  return !left || left != without_bodies(after);
}

}  // namespace suture::source
