// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a line added at the top of a file moves every __LINE__ below it, so the compiler makes
// other bytes of functions that nobody touched (the tables of WARN and BUG, the argument of
// might_sleep), and they would all look changed.
//
// Method: walk over the patched lines as the preprocessor's first phases do, counting lines. Where
// a line that was there before the patch has another number than it had, `#line N` goes in front of
// it, as soon as a directive may stand there: not inside a comment, nor after a backslash, nor
// between a name and the parenthesis that makes it a macro call (the directive would keep the macro
// from being expanded). Inside the arguments of a call it may stand: the preprocessor reads the
// directive as anywhere else, and numbers the macro by the line of its name.
//
// A directive in a group that #if leaves out is not obeyed, and then the numbers after the group
// are off by what it would have set. So the walk counts twice: as if groups were taken and as if
// the directives in them were not seen; when a group ends that had a directive, the number is
// unknown, and the next line with an origin gets a directive of its own.
//
// Invariant: without its directives the result is the patched text, byte for byte.
#include "source/line_sync.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "source/c_text.h"

namespace suture::source {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

// The line without its newline, and whether a backslash joins the next one to it.
std::string_view chop(std::string_view line, bool& continued) {
  if (line.ends_with('\n')) {
    line.remove_suffix(1);
  }
  std::string_view content = line;
  // The compiler forgives blanks between the backslash and the newline.
  while (!content.empty() && is_blank(content.back())) {
    content.remove_suffix(1);
  }
  continued = content.ends_with('\\');
  return continued ? content.substr(0, content.size() - 1) : line;
}

// What the preprocessor is in the middle of at the start of a line.
class LineStart {
 public:
  // Reads one physical line.
  void read(std::string_view line);
  // Whether the next line starts outside a comment and a continued line.
  bool clean() const { return state_ == State::code && !continued_; }
  // Whether the last thing before the next line is a name.
  bool after_name() const { return after_name_; }
  // The directive ("if", "endif", "define", ...) that the line just read starts, or empty.
  std::string_view directive() const { return directive_; }

 private:
  enum class State { code, block_comment, line_comment, string, character };

  std::size_t step(std::string_view text, std::size_t at);
  void find_directive(std::string_view text);

  State state_ = State::code;
  bool continued_ = false;
  bool after_name_ = false;
  bool in_directive_ = false;
  std::string_view directive_;
};

// Reads one character, or two that belong together; the index behind them.
std::size_t LineStart::step(std::string_view text, std::size_t at) {
  char c = text[at];
  char next = at + 1 < text.size() ? text[at + 1] : '\0';
  switch (state_) {
    case State::block_comment:
      if (c == '*' && next == '/') {
        state_ = State::code;
        return at + 2;
      }
      return at + 1;
    case State::line_comment: return text.size();
    case State::string:
    case State::character:
      if (c == '\\') {
        return at + 2;
      }
      if (c == (state_ == State::string ? '"' : '\'')) {
        state_ = State::code;
      }
      return at + 1;
    case State::code: break;
  }
  if (c == '/' && (next == '*' || next == '/')) {
    state_ = next == '*' ? State::block_comment : State::line_comment;
    return at + 2;
  }
  if (c == '"' || c == '\'') {
    state_ = c == '"' ? State::string : State::character;
  }
  if (!is_blank(c) && !in_directive_) {
    after_name_ = is_name_char(c);
  }
  return at + 1;
}

void LineStart::find_directive(std::string_view text) {
  directive_ = {};
  std::size_t at = 0;
  auto skip_blanks = [&] {
    while (at < text.size() && is_blank(text[at])) {
      ++at;
    }
  };
  skip_blanks();
  if (at == text.size() || text[at] != '#') {
    return;
  }
  in_directive_ = true;
  ++at;
  skip_blanks();
  std::size_t start = at;
  while (at < text.size() && is_name_char(text[at])) {
    ++at;
  }
  directive_ = text.substr(start, at - start);
}

void LineStart::read(std::string_view line) {
  bool joined = continued_;
  std::string_view text = chop(line, continued_);
  if (!joined && state_ == State::code) {
    in_directive_ = false;
    find_directive(text);
  } else {
    directive_ = {};
  }
  for (std::size_t at = 0; at < text.size();) {
    at = step(text, at);
  }
  // Comments of `//`, and quotes that nobody closed, end with the line.
  if (!continued_ && state_ != State::block_comment) {
    state_ = State::code;
  }
}

// Whether the first thing in lines[index...] that is neither blank nor comment is a parenthesis.
bool parenthesis_follows(std::span<const NumberedLine> lines, std::size_t index) {
  bool comment = false;
  for (; index < lines.size(); ++index) {
    std::string_view text = lines[index].text;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (comment) {
        if (text.substr(at).starts_with("*/")) {
          comment = false;
          ++at;
        }
      } else if (text.substr(at).starts_with("/*")) {
        comment = true;
        ++at;
      } else if (text.substr(at).starts_with("//")) {
        break;
      } else if (!is_blank(text[at]) && text[at] != '\n' && text[at] != '\\') {
        return text[at] == '(';
      }
    }
  }
  return false;
}

// The number of the next line as the preprocessor counts, followed through conditional groups.
class LineCounter {
 public:
  bool is(std::size_t number) const { return number_ == number; }
  void next() {
    if (number_) {
      ++*number_;
    }
  }
  void set(std::size_t number) {
    number_ = number;
    if (!groups_.empty()) {
      groups_.back() = true;
    }
  }
  void directive(std::string_view name);

 private:
  std::optional<std::size_t> number_ = 1;  // nothing: it depends on which groups are taken
  std::vector<bool> groups_;               // for each open #if: a directive was put into it
};

void LineCounter::directive(std::string_view name) {
  if (name == "if" || name == "ifdef" || name == "ifndef") {
    groups_.push_back(false);
    return;
  }
  bool ends = name == "endif";
  bool changes =
      ends || name == "else" || name == "elif" || name == "elifdef" || name == "elifndef";
  if (!changes || groups_.empty()) {
    return;
  }
  if (groups_.back()) {
    number_.reset();
  }
  if (ends) {
    bool had = groups_.back();
    groups_.pop_back();
    if (had && !groups_.empty()) {
      groups_.back() = true;
    }
  }
}

}  // namespace

std::string sync_lines(std::span<const NumberedLine> lines) {
  std::string out;
  LineStart start;
  LineCounter counter;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const NumberedLine& line = lines[i];
    if (line.origin != 0 && !counter.is(line.origin) && start.clean() &&
        !(start.after_name() && parenthesis_follows(lines, i))) {
      out += fmt::format("#line {}\n", line.origin);
      counter.set(line.origin);
    }
    out += line.text;
    start.read(line.text);
    counter.next();
    counter.directive(start.directive());
  }
  return out;
}

}  // namespace suture::source
