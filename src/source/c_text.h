// SPDX-License-Identifier: GPL-2.0-or-later
//
// C text before the preprocessor has seen it: its tokens, and what it defines where.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace suture::source {

enum class TokenKind : std::uint8_t { name, number, literal, punctuation, directive, end };

struct Token {
  TokenKind kind = TokenKind::end;
  bool space = false;  // blanks, a comment or a line's end stand before it
  std::string_view
      text;  // of a directive: the line behind '#', comments and all; "##" is one token
};

// The tokens of a text without spliced lines (see joined_lines). The text must outlive them.
class Lexer {
 public:
  explicit Lexer(std::string_view text, bool directives = true)
      : text_(text), directives_(directives), line_start_(directives) {}
  Token next();

 private:
  void skip_blanks(bool& space);
  std::string_view take(std::size_t end);
  std::size_t end_of_line(std::size_t at) const;

  std::string_view text_;
  std::size_t at_ = 0;
  bool directives_;
  bool line_start_;
};

// Lines that end with a backslash joined with the next, as translation phase 2 does.
std::string joined_lines(std::string text);

// A directive's word ("include", "if") and the rest of its line.
struct Directive {
  std::string_view word, rest;
};
Directive read_directive(std::string_view line);

// A directive that is "define NAME 0x12" and no more: lists of registers hold millions of them.
struct NumberMacro {
  std::string_view name, number;
};
std::optional<NumberMacro> read_number_macro(std::string_view line);

// Depth of brackets, as #if and #else split it: each branch begins where the first one began.
class Nesting {
 public:
  void see(const Token& token);
  // Takes a conditional directive into account; false for any other word.
  bool see(const Directive& directive);
  int depth() const { return depth_; }
  std::size_t conditions() const { return frames_.size(); }
  // In a branch that no compiler of the kernel ever reads (#if 0, __cplusplus).
  bool skipping() const;
  // Brackets do not pair, or not the same way in all branches.
  bool broken() const { return broken_; }

 private:
  struct Frame {
    int start = 0;
    int ended = 0;
    bool has_ended = false;  // a branch before this one
    bool has_else = false;
    bool skip = false;
  };
  void end_branch();

  int depth_ = 0;
  bool broken_ = false;
  std::vector<Frame> frames_;
};

// A macro's definition, "NAME", "NAME(a, b) body".
struct Macro {
  std::string_view name;
  bool function_like = false;
  std::vector<std::string_view> parameters;
  std::vector<Token> body;

  // Nothing is named by it: numbers, its parameters, attributes, or its own name again.
  bool names_nothing() const;
  // Of one without parameters: what it stands for may hold a type's definition by itself.
  bool may_hold_braces() const;
};
Macro read_macro(std::string_view rest);

enum class ChunkKind : std::uint8_t { macro, function, type, declaration, include, other };

// One thing at the top of a file. All views are into the CText that holds it.
struct Chunk {
  ChunkKind kind = ChunkKind::other;
  // It does nothing to whoever names nothing that it defines. Where it is false, nothing is known
  // of it but its names: code, data or names that are made up may come of it.
  bool inert = false;
  std::vector<std::string_view> defines;  // sorted
  std::vector<std::string_view> uses;  // every name in it and in the conditions around it; sorted
  // Of the names in it, those that would declare something else were they macros; sorted.
  std::vector<std::string_view> shapes;
  // Of a function the names before its body, of a struct those among its members that would define
  // a type were they macros of one; sorted.
  std::vector<std::string_view> head;
  // It is a struct or union: its members are not among `defines`, since whoever comes to one names
  // the type, or what is declared with it, first. Its types and enumerators are.
  bool has_members = false;
  // Of what cannot take a function's value (a type, a declaration): the names that are called.
  std::vector<std::string_view> called;
  bool takes_values = true;
  bool declares_function = false;  // and nothing else
  std::string_view macro;          // of a macro: what stands behind "define"
  std::string text;                // to compare: tokens and blanks, and the conditions
};

struct CText {
  std::shared_ptr<const std::string> text;  // with lines joined; what the chunks look into
  std::vector<Chunk> chunks;                // in the file's order
  bool broken = false;  // it could not be cut up: anything in it may belong to anything
};

CText cut_up(std::string text);

bool is_keyword(std::string_view name);
bool is_name_char(char c);

}  // namespace suture::source
