// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: to know who can see a change of a header, one has to know what in the header changes,
// and what else names it, before any macro is expanded.
//
// Method: cut the file up at the ends of what stands at its top: a directive, or tokens to a ";"
// or to the "}" of a function. What kind of thing that is, and which names it defines, is read off
// its shape. The conditions around a thing belong to it: their names are names that it uses, and
// their words are part of what is compared. Where a shape is not one of the few that are known for
// sure, the thing is not inert, and whoever reads the file counts as seeing it.
//
// Invariants: each token lies in a chunk that uses its name, but for branches that no kernel's
// compiler reads. A chunk is inert only if the compiler makes nothing of it where none of its
// `defines` is named; these hold every name that it declares, as far as no macro makes names.
#include "source/c_text.h"

#include <algorithm>
#include <optional>
#include <span>

namespace suture::source {

namespace {

using Tokens = std::span<const Token>;

constexpr std::string_view keywords[] = {"_Alignas",
                                         "_Alignof",
                                         "_Atomic",
                                         "_Bool",
                                         "_Generic",
                                         "_Noreturn",
                                         "_Static_assert",
                                         "_Thread_local",
                                         "__alignof",
                                         "__alignof__",
                                         "__asm",
                                         "__asm__",
                                         "__attribute",
                                         "__attribute__",
                                         "__auto_type",
                                         "__const",
                                         "__const__",
                                         "__extension__",
                                         "__inline",
                                         "__inline__",
                                         "__restrict",
                                         "__restrict__",
                                         "__signed__",
                                         "__thread",
                                         "__typeof",
                                         "__typeof__",
                                         "__volatile",
                                         "__volatile__",
                                         "asm",
                                         "auto",
                                         "break",
                                         "case",
                                         "char",
                                         "const",
                                         "continue",
                                         "default",
                                         "do",
                                         "double",
                                         "else",
                                         "enum",
                                         "extern",
                                         "float",
                                         "for",
                                         "goto",
                                         "if",
                                         "inline",
                                         "int",
                                         "long",
                                         "register",
                                         "restrict",
                                         "return",
                                         "short",
                                         "signed",
                                         "sizeof",
                                         "static",
                                         "struct",
                                         "switch",
                                         "typedef",
                                         "typeof",
                                         "union",
                                         "unsigned",
                                         "void",
                                         "volatile",
                                         "while"};
static_assert(std::ranges::is_sorted(keywords));

// Macros that the kernel puts where an attribute or a member stands, and that make no names.
constexpr std::string_view harmless_macros[] = {"BIT",
                                                "BIT_ULL",
                                                "DECLARE_BITMAP",
                                                "DECLARE_FLEX_ARRAY",
                                                "GENMASK",
                                                "__DECLARE_FLEX_ARRAY",
                                                "__ETHTOOL_DECLARE_LINK_MODE_MASK"};
static_assert(std::ranges::is_sorted(harmless_macros));

bool is(const Token& token, std::string_view text) { return token.text == text; }
bool is_name(const Token& token) { return token.kind == TokenKind::name; }
bool is_own_name(const Token& token) { return is_name(token) && !is_keyword(token.text); }
bool is_aggregate(const Token& token) {
  return is(token, "struct") || is(token, "union") || is(token, "enum");
}
bool opens(const Token& token) { return is(token, "(") || is(token, "[") || is(token, "{"); }
bool closes(const Token& token) { return is(token, ")") || is(token, "]") || is(token, "}"); }

bool has(Tokens tokens, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(tokens, [&](const Token& token) {
    return is_name(token) && std::ranges::find(words, token.text) != words.end();
  });
}

// Behind the bracket that belongs to the one at `at`.
std::size_t behind_group(Tokens tokens, std::size_t at) {
  int depth = 0;
  for (; at < tokens.size(); ++at) {
    depth += opens(tokens[at]) ? 1 : 0;
    depth -= closes(tokens[at]) ? 1 : 0;
    if (depth == 0) {
      return at + 1;
    }
  }
  return at;
}

void sort_names(std::vector<std::string_view>& names) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
}

// Names that stand where a declared name stands: before one of ",;=:[)}", or before an attribute.
void add_declared(Tokens tokens, std::vector<std::string_view>& out) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!is_own_name(tokens[i])) {
      continue;
    }
    bool last = i + 1 == tokens.size();
    if (last || std::string_view(",;=:[)}").find(tokens[i + 1].text) != std::string_view::npos ||
        (is_name(tokens[i + 1]) && tokens[i + 1].text.starts_with("__"))) {
      out.push_back(tokens[i].text);
    }
  }
}

// What emits or keeps something though nobody names it.
bool is_kept_by_force(Tokens tokens) {
  return has(tokens, {"__used", "__section", "__attribute__", "__attribute", "__visible",
                      "__ADDRESSABLE", "constructor", "__init_or_module", "asm", "__asm__"});
}

struct Shape {
  ChunkKind kind = ChunkKind::other;
  bool inert = false;
  std::vector<std::string_view> defines;
  std::vector<std::string_view> shapes;
  std::vector<std::string_view> head;
  bool has_members = false;
};

// Attributes with arguments, in the order of their names.
constexpr std::string_view attributes[] = {
    "__acquire",   "__acquires",    "__aligned",       "__alloc_size", "__assume_aligned",
    "__attribute", "__attribute__", "__cond_acquires", "__cond_lock",  "__counted_by",
    "__declspec",  "__diagnose_as", "__malloc",        "__must_hold",  "__no_sanitize",
    "__nonnull",   "__printf",      "__release",       "__releases",   "__scanf",
    "__section"};
static_assert(std::ranges::is_sorted(attributes));

// A function's head, or its prototype's: "static int f(int a) __attr". Of several names before
// brackets each may be the function's; a macro's call stands first, or before a second bracket.
Shape function_shape(Tokens head, bool has_body) {
  Shape out{.kind = has_body ? ChunkKind::function : ChunkKind::declaration};
  bool first = true;
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (is(head[i], ",") || is(head[i], "=") || is(head[i], "(")) {
      return {};
    }
    bool called = is_name(head[i]) && i + 1 < head.size() && is(head[i + 1], "(");
    if (!called) {
      first = first && !is_name(head[i]);
      continue;
    }
    if (!std::ranges::binary_search(attributes, head[i].text)) {
      if (first || is_keyword(head[i].text)) {
        return {};
      }
      out.defines.push_back(head[i].text);
    }
    i = behind_group(head, i + 1) - 1;
  }
  if (out.defines.empty()) {
    return {};
  }
  out.shapes = out.defines;
  for (const Token& token : head) {
    if (is_name(token)) {
      out.head.push_back(token.text);
    }
  }
  out.inert =
      !has_body ||
      ((has(head, {"static"}) || (has(head, {"extern"}) && has(head, {"inline", "__inline__"}))) &&
       !is_kept_by_force(head));
  return out;
}

// Among members or enumerators: a macro's call that may make any of them. A member that is a
// function pointer's parameter list is no call.
bool calls_macro(Tokens body, std::size_t at) {
  bool calls = at + 2 < body.size() && is(body[at + 1], "(") && !is(body[at + 2], "*");
  return calls && !std::ranges::binary_search(attributes, body[at].text) &&
         !std::ranges::binary_search(harmless_macros, body[at].text);
}

// Enumerators, and the names that macros may make them of.
void read_enumerators(Tokens body, Shape& out) {
  add_declared(body, out.defines);
  bool value = false;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (is(body[i], "[")) {
      i = behind_group(body, i) - 1;
      continue;
    }
    value = (value && !is(body[i], ",") && !is(body[i], ";")) || is(body[i], "=");
    if (value || !is_own_name(body[i])) {
      continue;
    }
    out.shapes.push_back(body[i].text);
    out.inert = out.inert && !calls_macro(body, i);
  }
}

// The types and enumerators that are defined among members.
void read_members(Tokens body, Shape& out) {
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (is_aggregate(body[i])) {
      std::size_t brace = i + 1;
      while (brace < body.size() && (is_name(body[brace]) || is(body[brace], "("))) {
        brace = is_name(body[brace]) ? brace + 1 : behind_group(body, brace);
      }
      if (brace < body.size() && is(body[brace], "{")) {
        for (std::size_t k = i + 1; k < brace; ++k) {
          if (is_own_name(body[k])) {
            out.defines.push_back(body[k].text);
          }
        }
        if (is(body[i], "enum")) {
          std::size_t end = behind_group(body, brace);
          read_enumerators(body.subspan(brace + 1, end - brace - 1), out);
        }
      }
    }
    if (is(body[i], "[")) {
      i = behind_group(body, i) - 1;
      continue;
    }
    if (!is_own_name(body[i])) {
      continue;
    }
    if (!body[i].text.starts_with("__")) {
      out.head.push_back(body[i].text);
    }
    out.inert = out.inert && !calls_macro(body, i);
  }
}

// "struct tag { ... } name;", "typedef enum { ... } name;".
Shape type_shape(Tokens all, std::size_t brace) {
  Shape out{.kind = ChunkKind::type, .inert = true};
  for (std::size_t i = 0; i < brace; ++i) {
    if (is_own_name(all[i])) {
      out.defines.push_back(all[i].text);
    }
  }
  std::size_t end = behind_group(all, brace);
  Tokens body = all.subspan(brace + 1, end - brace - 1);
  if (has(all.first(brace), {"enum"})) {
    read_enumerators(body, out);
  } else {
    out.has_members = true;
    read_members(body, out);
  }
  Tokens behind = all.subspan(end);
  add_declared(behind, out.defines);
  bool names_something = std::ranges::any_of(behind, [](const Token& token) {
    return is_own_name(token) && !token.text.starts_with("__");
  });
  if (names_something && !has(all.first(brace), {"typedef", "static", "extern"})) {
    out.inert = false;
  }
  return out;
}

// "extern int a, b[2];", "static const char *c = ...;", "typedef struct x y;", "struct x;".
Shape variable_shape(Tokens all) {
  auto equals = std::ranges::find_if(all, [](const Token& token) { return is(token, "="); });
  Tokens head = all.first(static_cast<std::size_t>(equals - all.begin()));
  Shape out{.kind = ChunkKind::declaration};
  add_declared(equals == all.end() ? all : head, out.defines);
  out.shapes = out.defines;
  bool forward = all.size() <= 3 && is_aggregate(all.front());
  out.inert = !out.defines.empty() && !is_kept_by_force(head) &&
              (forward || has(head, {"extern", "static", "typedef"}));
  // Several with initial values, or a macro's call that runs into a declaration.
  if (equals != all.end() && out.defines.size() != 1) {
    out.inert = false;
  }
  return out;
}

// An own type's name may be made of a function's parameters: take all names.
Shape function_type_shape(Tokens all) {
  Shape out{.kind = ChunkKind::declaration, .inert = true};
  add_declared(all, out.defines);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    if (is_own_name(all[i]) && is(all[i + 1], "(")) {
      out.defines.push_back(all[i].text);
    }
  }
  out.shapes = out.defines;
  return out;
}

Shape shape_of(Tokens all) {
  std::size_t brace = all.size(), bracket = all.size(), equals = all.size();
  int depth = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (depth == 0) {
      brace = is(all[i], "{") ? std::min(brace, i) : brace;
      bracket = is(all[i], "(") ? std::min(bracket, i) : bracket;
      equals = is(all[i], "=") ? std::min(equals, i) : equals;
    }
    depth += opens(all[i]) ? 1 : 0;
    depth -= closes(all[i]) ? 1 : 0;
  }
  const Token& first = all.front();
  if (is(first, "static_assert") || is(first, "_Static_assert")) {
    return {.kind = ChunkKind::declaration, .inert = true};
  }
  if (brace < all.size() && equals > brace) {
    bool tagged =
        brace > 0 && (is_aggregate(all[brace - 1]) ||
                      (brace > 1 && is_name(all[brace - 1]) && is_aggregate(all[brace - 2])));
    if (tagged) {
      return type_shape(all, brace);
    }
    return bracket < brace ? function_shape(all.first(brace), true) : Shape{};
  }
  if (is(first, "typedef") && bracket < all.size()) {
    return function_type_shape(all);
  }
  if (bracket < std::min(equals, all.size())) {
    bool ends = is(all.back(), ";");
    return ends ? function_shape(all.first(all.size() - 1), false) : Shape{};
  }
  return is(all.back(), ";") ? variable_shape(all) : Shape{};
}

void add_names(std::string_view text, std::vector<std::string_view>& out) {
  Lexer lexer(text, false);
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    if (is_name(token)) {
      out.push_back(token.text);
    }
  }
}

void add_text(const Token& token, std::string& out) {
  if (token.space && !out.empty()) {
    out += ' ';
  }
  out += token.text;
}

std::string words_of(std::string_view text) {
  std::string out;
  Lexer lexer(text, false);
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    add_text(token, out);
  }
  return out;
}

// Cuts one file up.
class Cutter {
 public:
  explicit Cutter(CText& out) : out_(out) {}

  void run() {
    Lexer lexer(*out_.text);
    for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
      if (token.kind == TokenKind::directive) {
        directive(read_directive(token.text));
      } else if (!nesting_.skipping()) {
        take(token);
      }
    }
    if (!pending_.empty()) {
      doubtful_ = true;
      finish();
    }
    out_.broken = nesting_.broken() || nesting_.depth() != 0 || nesting_.conditions() != 0;
  }

 private:
  // The words and names of the condition that a branch is under.
  struct Condition {
    std::string text;
    std::vector<std::string_view> names;
  };

  void take(const Token& token) {
    if (pending_.empty()) {
      started_under_ = conditions_.size();
      doubtful_ = false;
      inner_names_.clear();
      if (is(token, ";")) {
        return;
      }
    }
    pending_.push_back(token);
    nesting_.see(token);
    if (nesting_.depth() != 0) {
      return;
    }
    if (is(token, ";") || (is(token, "}") && ends_with_brace())) {
      finish();
    }
  }

  // A function ends with its brace; a type or an initial value goes on to a ";".
  bool ends_with_brace() const {
    Tokens all(pending_);
    int depth = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (depth == 0 && is(all[i], "=")) {
        return false;
      }
      if (depth == 0 && is(all[i], "{")) {
        return shape_of(all).kind != ChunkKind::type;
      }
      depth += opens(all[i]) ? 1 : 0;
      depth -= closes(all[i]) ? 1 : 0;
    }
    return true;
  }

  void finish() {
    Chunk chunk;
    Shape shape = shape_of(pending_);
    bool whole = !doubtful_ && started_under_ == conditions_.size();
    chunk.kind = whole ? shape.kind : ChunkKind::other;
    chunk.inert = whole && shape.inert;
    chunk.defines = std::move(shape.defines);
    chunk.shapes = std::move(shape.shapes);
    chunk.head = std::move(shape.head);
    chunk.has_members = whole && shape.has_members;
    chunk.declares_function = whole && !chunk.defines.empty() &&
                              (chunk.kind == ChunkKind::function ||
                               (chunk.kind == ChunkKind::declaration && !chunk.head.empty()));
    note_values(chunk);
    chunk.uses = std::move(inner_names_);
    inner_names_ = {};
    for (const Token& token : pending_) {
      if (is_name(token)) {
        chunk.uses.push_back(token.text);
      }
      add_text(token, chunk.text);
    }
    chunk.text += inner_text_;
    inner_text_.clear();
    pending_.clear();
    add(std::move(chunk));
  }

  // A type, or a declaration without a value, has to do with a function only where it calls it.
  void note_values(Chunk& chunk) const {
    const bool computes = std::ranges::any_of(pending_, [](const Token& token) {
      return is(token, "=") || is(token, "sizeof") || token.text.starts_with("typeof") ||
             token.text.starts_with("__typeof") || token.text.starts_with("__builtin");
    });
    chunk.takes_values = computes || !inner_names_.empty() ||
                         (chunk.kind != ChunkKind::type && chunk.kind != ChunkKind::declaration);
    for (std::size_t i = 0; i + 1 < pending_.size(); ++i) {
      if (is_name(pending_[i]) && is(pending_[i + 1], "(")) {
        chunk.called.push_back(pending_[i].text);
      }
    }
  }

  void add(Chunk chunk) {
    for (const Condition& condition : conditions_) {
      chunk.uses.insert(chunk.uses.end(), condition.names.begin(), condition.names.end());
      chunk.called.insert(chunk.called.end(), condition.names.begin(), condition.names.end());
      chunk.text += " #if " + condition.text;
    }
    sort_names(chunk.defines);
    sort_names(chunk.uses);
    sort_names(chunk.shapes);
    sort_names(chunk.head);
    sort_names(chunk.called);
    out_.chunks.push_back(std::move(chunk));
  }

  void directive(const Directive& directive) {
    bool was_skipping = nesting_.skipping();
    if (condition(directive) || was_skipping) {
      return;
    }
    Chunk chunk{.inert = false};
    chunk.text = "#" + std::string(directive.word) + " " + words_of(directive.rest);
    add_names(directive.rest, chunk.uses);
    if (directive.word == "define" || directive.word == "undef") {
      Macro macro = read_macro(directive.rest);
      chunk.kind = ChunkKind::macro;
      chunk.inert = true;
      chunk.defines.push_back(macro.name);
      chunk.macro = directive.word == "define" ? directive.rest : std::string_view{};
      // Its own name and its parameters are not named by it.
      std::erase_if(chunk.uses, [&](std::string_view name) {
        return name == macro.name ||
               std::ranges::find(macro.parameters, name) != macro.parameters.end();
      });
    } else if (directive.word.starts_with("include")) {
      chunk.kind = ChunkKind::include;
      std::string_view rest = directive.rest;
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      if (rest.starts_with('<') || rest.starts_with('"')) {
        chunk.uses.clear();
      }
    } else if (directive.word.empty()) {
      return;
    }
    add(std::move(chunk));
  }

  bool condition(const Directive& directive) {
    bool inside = nesting_.depth() > 0;
    bool was_skipping = nesting_.skipping();
    if (!nesting_.see(directive)) {
      return false;
    }
    const std::string_view word = directive.word;
    bool opens_one = word.starts_with("if");
    if (!pending_.empty()) {
      // The thing stands across branches: what it is in each of them cannot be told.
      doubtful_ = doubtful_ || !inside || (!opens_one && started_under_ >= conditions_.size());
      inner_text_ += " #" + std::string(word) + " " + words_of(directive.rest);
      if (!was_skipping) {
        add_names(directive.rest, inner_names_);
      }
    }
    if (opens_one) {
      conditions_.emplace_back();
    }
    if (conditions_.empty()) {
      return true;
    }
    if (word == "endif") {
      conditions_.pop_back();
      return true;
    }
    Condition& now = conditions_.back();
    now.text += std::string(word) + " " + words_of(directive.rest) + "; ";
    add_names(directive.rest, now.names);
    return true;
  }

  CText& out_;
  Nesting nesting_;
  std::vector<Condition> conditions_;
  std::vector<Token> pending_;
  std::size_t started_under_ = 0;
  bool doubtful_ = false;
  std::vector<std::string_view> inner_names_;  // of conditions inside of what is pending
  std::string inner_text_;
};

}  // namespace

bool is_keyword(std::string_view name) { return std::ranges::binary_search(keywords, name); }

void Nesting::see(const Token& token) {
  depth_ += opens(token) ? 1 : 0;
  depth_ -= closes(token) ? 1 : 0;
  if (depth_ < 0) {
    broken_ = true;
    depth_ = 0;
  }
}

void Nesting::end_branch() {
  Frame& frame = frames_.back();
  if (!frame.skip) {
    broken_ = broken_ || (frame.has_ended && frame.ended != depth_);
    frame.ended = depth_;
    frame.has_ended = true;
  }
  depth_ = frame.start;
  frame.skip = false;
}

bool Nesting::see(const Directive& directive) {
  const std::string_view word = directive.word;
  if (word.starts_with("if")) {
    std::string condition = words_of(directive.rest);
    bool never = (word == "if" && (condition == "0" || condition == "defined(__cplusplus)" ||
                                   condition == "defined (__cplusplus)")) ||
                 (word == "ifdef" && condition == "__cplusplus");
    frames_.push_back(Frame{.start = depth_, .skip = never});
    return true;
  }
  if (word != "endif" && !word.starts_with("el")) {
    return false;
  }
  if (frames_.empty()) {
    broken_ = true;
    return true;
  }
  end_branch();
  Frame& frame = frames_.back();
  if (word == "else") {
    frame.has_else = true;
  } else if (word == "endif") {
    int ended = frame.has_ended ? frame.ended : frame.start;
    // A branch that may be missing must leave the brackets as they were.
    broken_ = broken_ || (!frame.has_else && ended != frame.start);
    depth_ = ended;
    frames_.pop_back();
  }
  return true;
}

bool Nesting::skipping() const {
  return std::ranges::any_of(frames_, [](const Frame& frame) { return frame.skip; });
}

Macro read_macro(std::string_view rest) {
  Macro out;
  Lexer lexer(rest, false);
  out.name = lexer.next().text;
  Token token = lexer.next();
  if (is(token, "(") && !token.space) {
    out.function_like = true;
    for (token = lexer.next(); token.kind != TokenKind::end && !is(token, ")");
         token = lexer.next()) {
      if (is_name(token)) {
        out.parameters.push_back(token.text);
      } else if (is(token, ".") &&
                 std::ranges::find(out.parameters, "__VA_ARGS__") == out.parameters.end()) {
        out.parameters.push_back("__VA_ARGS__");
      }
    }
    token = lexer.next();
  }
  for (; token.kind != TokenKind::end; token = lexer.next()) {
    out.body.push_back(token);
  }
  return out;
}

bool Macro::names_nothing() const {
  auto foreign = [&](const Token& token) {
    return is_own_name(token) && token.text != name &&
           std::ranges::find(parameters, token.text) == parameters.end();
  };
  if (body.size() == 1 && foreign(body[0])) {
    return false;
  }
  bool list = std::ranges::any_of(body, [](const Token& t) { return is(t, ",") || is(t, ";"); });
  return std::ranges::none_of(body, [&](const Token& token) {
    return is(token, "##") || (foreign(token) && (list || !token.text.starts_with("__")));
  });
}

bool Macro::may_hold_braces() const {
  for (std::size_t i = 0; i < body.size(); ++i) {
    bool called = i > 0 && is(body[i], "(") && is_own_name(body[i - 1]);
    if (is(body[i], "{") || is(body[i], "##") || called) {
      return true;
    }
  }
  return false;
}

CText cut_up(std::string text) {
  CText out;
  out.text = std::make_shared<const std::string>(joined_lines(std::move(text)));
  Cutter(out).run();
  return out;
}

}  // namespace suture::source
