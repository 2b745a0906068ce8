// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: millions of lines are to be looked at for the names in them, without a compiler.
//
// Method: the first three phases of C's translation: lines are joined, comments are blanks, and
// what is left is names, numbers, literals and single signs ("##" alone is a pair, since it makes
// names). A directive is one token, read again when somebody wants to know what it says.
//
// Invariant: every name that a preprocessor would see in the text is a token of it or stands in a
// directive. A literal that does not end ends with its line, as in an assembler's comment.
#include <algorithm>
#include <array>

#include "source/c_text.h"

namespace suture::source {

namespace {

enum : std::uint8_t { blank = 1, name_start = 2, digit = 4, ends_plain_text = 8 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> out{};
  for (unsigned c = 0; c < 256; ++c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    out[c] = letter ? name_start : 0;
  }
  for (unsigned c = '0'; c <= '9'; ++c) {
    out[c] = digit;
  }
  for (char c : {' ', '\t', '\n', '\r', '\f', '\v'}) {
    out[static_cast<unsigned char>(c)] = blank;
  }
  for (char c : {'\n', '/', '"', '\''}) {
    out[static_cast<unsigned char>(c)] |= ends_plain_text;
  }
  return out;
}

constexpr std::array<std::uint8_t, 256> classes = make_classes();

std::uint8_t class_of(char c) { return classes[static_cast<unsigned char>(c)]; }

// Behind the literal that begins at `at`.
std::size_t end_of_literal(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != '\n'; ++at) {
    if (text[at] == quote) {
      return at + 1;
    }
    at += text[at] == '\\' && at + 1 < text.size() && text[at + 1] != '\n' ? 1 : 0;
  }
  return at;
}

std::size_t end_of_comment(std::string_view text, std::size_t at) {
  if (text[at + 1] == '/') {
    return std::min(text.find('\n', at), text.size());
  }
  std::size_t end = text.find("*/", at + 2);
  return end == std::string_view::npos ? text.size() : end + 2;
}

bool is_comment(std::string_view text, std::size_t at) {
  return text[at] == '/' && at + 1 < text.size() && (text[at + 1] == '*' || text[at + 1] == '/');
}

}  // namespace

bool is_name_char(char c) { return (class_of(c) & (name_start | digit)) != 0; }

std::string joined_lines(std::string text) {
  std::size_t out = text.find('\\');
  if (out == std::string::npos) {
    return text;
  }
  for (std::size_t at = out; at < text.size(); ++at) {
    if (text[at] == '\\') {
      // gcc takes blanks between the backslash and the line's end for none.
      std::size_t end = text.find_first_not_of(" \t\r", at + 1);
      if (end != std::string::npos && text[end] == '\n') {
        at = end;
        continue;
      }
    }
    text[out++] = text[at];
  }
  text.resize(out);
  return text;
}

void Lexer::skip_blanks(bool& space) {
  for (; at_ < text_.size(); space = true) {
    if ((class_of(text_[at_]) & blank) != 0) {
      line_start_ = line_start_ || (directives_ && text_[at_] == '\n');
      ++at_;
    } else if (is_comment(text_, at_)) {
      at_ = end_of_comment(text_, at_);
    } else {
      return;
    }
  }
}

std::string_view Lexer::take(std::size_t end) {
  std::string_view out = text_.substr(at_, end - at_);
  at_ = end;
  return out;
}

// A directive ends with its line, but a comment in it may hold more lines.
std::size_t Lexer::end_of_line(std::size_t at) const {
  while (at < text_.size() && text_[at] != '\n') {
    if ((class_of(text_[at]) & ends_plain_text) == 0) {
      ++at;
    } else if (is_comment(text_, at)) {
      at = end_of_comment(text_, at);
    } else if (text_[at] == '"' || text_[at] == '\'') {
      at = end_of_literal(text_, at);
    } else {
      ++at;
    }
  }
  return at;
}

Token Lexer::next() {
  Token out;
  skip_blanks(out.space);
  if (at_ >= text_.size()) {
    return out;
  }
  const char c = text_[at_];
  if (c == '#' && line_start_) {
    ++at_;
    out.kind = TokenKind::directive;
    out.text = take(end_of_line(at_));
    return out;
  }
  line_start_ = false;
  std::size_t end = at_ + 1;
  if ((class_of(c) & name_start) != 0) {
    out.kind = TokenKind::name;
    while (end < text_.size() && is_name_char(text_[end])) {
      ++end;
    }
  } else if ((class_of(c) & digit) != 0 ||
             (c == '.' && end < text_.size() && (class_of(text_[end]) & digit) != 0)) {
    out.kind = TokenKind::number;
    while (end < text_.size() &&
           (is_name_char(text_[end]) || text_[end] == '.' ||
            ((text_[end] == '+' || text_[end] == '-') &&
             std::string_view("eEpP").find(text_[end - 1]) != std::string_view::npos))) {
      ++end;
    }
  } else if (c == '"' || c == '\'') {
    out.kind = TokenKind::literal;
    end = end_of_literal(text_, at_);
  } else {
    out.kind = TokenKind::punctuation;
    end += c == '#' && end < text_.size() && text_[end] == '#' ? 1 : 0;
  }
  out.text = take(end);
  return out;
}

Directive read_directive(std::string_view line) {
  Lexer lexer(line, false);
  Token word = lexer.next();
  if (word.kind != TokenKind::name) {
    return {};
  }
  auto behind = static_cast<std::size_t>(word.text.data() + word.text.size() - line.data());
  return {word.text, line.substr(behind)};
}

std::optional<NumberMacro> read_number_macro(std::string_view line) {
  std::size_t at = 0;
  auto blanks = [&] {
    const std::size_t begin = at;
    while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) {
      ++at;
    }
    return at > begin;
  };
  auto word = [&] {
    const std::size_t begin = at;
    while (at < line.size() && is_name_char(line[at])) {
      ++at;
    }
    return line.substr(begin, at - begin);
  };
  blanks();
  if (word() != "define" || !blanks()) {
    return std::nullopt;
  }
  NumberMacro out;
  out.name = word();
  const bool apart = blanks();
  out.number = word();
  blanks();
  const bool fits = at == line.size() && apart && !out.name.empty() && !out.number.empty() &&
                    (class_of(out.name[0]) & name_start) != 0 &&
                    (class_of(out.number[0]) & digit) != 0;
  return fits ? std::optional(out) : std::nullopt;
}

}  // namespace suture::source
