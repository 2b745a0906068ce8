// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: see the header.
//
// Method: read tokens, not C. A type is defined where "struct", "union" or "enum" and a name stand
// before a brace, or where a name stands behind the closing brace of a typedef. Statements are what
// lies between semicolons and braces, with one blank between tokens. A structure's name is marked
// in them: variables may have the same one. A typedef may take the place of a structure.
//
// A declared variable may get another name along with its type, if a name beside it stays. A place
// that outlives functions is a member or a result that is called private data, by custom: only the
// code tells which type is there.
//
// Invariant: the line that only opens a type's definition is no statement: it names the new type in
// place of the old one wherever a diff puts one type where another was.
#include "source/type_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "source/c_text.h"

namespace suture::source {

namespace {

bool is_tag(std::string_view word) { return word == "struct" || word == "union" || word == "enum"; }

constexpr char tag_mark = '@';
std::string tagged(std::string_view name) { return fmt::format("{}{}", tag_mark, name); }

// The next of the words with one blank between them.
std::string_view take_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

bool starts_as_name(std::string_view word) {
  return !word.empty() && (word[0] == '_' || (word[0] >= 'A' && word[0] <= 'Z') ||
                           (word[0] >= 'a' && word[0] <= 'z'));
}

std::string without_blanks(std::string_view text) {
  std::string out(text);
  std::erase(out, ' ');
  return out;
}

// Whoever put a pointer there may have done so long ago.
bool outlives_functions(std::string_view value) {
  const std::size_t call = value.find(" (");
  const std::string_view place = value.ends_with(')') ? value.substr(0, call) : value;
  const std::string_view name = place.substr(place.rfind(' ') + 1);
  const bool is_member =
      value.ends_with(fmt::format("> {}", name)) || value.ends_with(fmt::format(". {}", name));
  const bool is_call = value.ends_with(')') && name == place;
  return (is_member && (name.contains("priv") || name == "context" ||
                        (name.ends_with("data") && name != "data"))) ||
         (is_call && (name.ends_with("priv") || name.ends_with("data")));
}

class Text {
 public:
  std::set<std::string, std::less<>> types;
  std::map<std::string, int> statements;

  explicit Text(std::string_view text) {
    const std::string joined = joined_lines(std::string(text));
    Lexer lexer(joined);
    for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
      if (token.kind != TokenKind::directive) {
        see(token);
      }
    }
  }

  // "@a * x = file -> private_data", or "x = file -> private_data" where each x of the text is
  // declared as the same.
  std::map<std::pair<std::string, std::string>, int> takings() const {
    std::map<std::pair<std::string, std::string>, int> out;
    for (const auto& [variable, type, place] : takings_) {
      const auto it = pointers_.find(variable);
      const bool is_clear = it != pointers_.end() && it->second.size() == 1;
      if (!type.empty() || is_clear) {
        ++out[{place, type.empty() ? *it->second.begin() : type}];
      }
    }
    return out;
  }

 private:
  void see(const Token& token) {
    see_typedef(token);
    see_definition(token);
    const bool ends = token.text == ";" || token.text == "{" || token.text == "}";
    if (!ends) {
      if (is_tag(token.text)) {
        behind_tag_ = true;
      } else {
        statement_ += statement_.empty() ? "" : " ";
        statement_ += behind_tag_ ? tagged(token.text) : std::string(token.text);
        behind_tag_ = false;
      }
      return;
    }
    behind_tag_ = false;
    see_pointers();
    see_taking();
    if (token.text == ";" || statement_.ends_with(')')) {
      ++statements[statement_];
    }
    statement_.clear();
  }

  // "@a * x = ...", "int f ( @a * x , @b * y )"
  void see_pointers() {
    std::string_view rest = statement_;
    std::array<std::string_view, 3> last;  // a type, an asterisk, and the variable
    while (!rest.empty()) {
      last = {last[1], last[2], take_word(rest)};
      const std::string_view next = rest.substr(0, rest.find(' '));
      if (last[1] == "*" && starts_as_name(last[2]) &&
          (starts_as_name(last[0]) || last[0].starts_with(tag_mark)) &&
          (next.empty() || next == "=" || next == "," || next == ")")) {
        pointers_[std::string(last[2])].emplace(last[0]);
      }
    }
  }

  void see_taking() {
    const std::string_view statement = statement_;
    const std::size_t equals = statement.find(" = ");
    if (equals == std::string_view::npos || !outlives_functions(statement.substr(equals + 3))) {
      return;
    }
    const std::string_view to = statement.substr(0, equals);
    const std::size_t pointer = to.find(" * ");
    const std::string_view variable =
        pointer == std::string_view::npos ? to : to.substr(pointer + 3);
    if (starts_as_name(variable) && !variable.contains(' ')) {
      const std::string_view type = pointer == std::string_view::npos ? "" : to.substr(0, pointer);
      takings_.push_back({.variable = std::string(variable),
                          .type = std::string(type.substr(type.rfind(' ') + 1)),
                          .place = without_blanks(statement.substr(equals + 3))});
    }
  }

  // "struct NAME {", perhaps with attributes before and after the name.
  void see_definition(const Token& token) {
    if (is_tag(token.text)) {
      in_head_ = true;
      brackets_ = 0;
      head_.clear();
    } else if (in_head_ && token.text == "{") {
      types.insert(head_.begin(), head_.end());
      in_head_ = false;
    } else if (in_head_ && (token.text == "(" || token.text == ")")) {
      brackets_ += token.text == "(" ? 1 : -1;
      in_head_ = brackets_ >= 0;
    } else if (in_head_ && brackets_ == 0) {
      in_head_ = token.kind == TokenKind::name;
      head_.emplace_back(token.text);
    }
  }

  // "typedef struct { ... } NAME;"
  void see_typedef(const Token& token) {
    if (token.text == "typedef") {
      in_typedef_ = true;
      depth_ = 0;
      behind_ = false;
    } else if (!in_typedef_) {
      return;
    } else if (token.text == "{" || token.text == "}") {
      depth_ += token.text == "{" ? 1 : -1;
      behind_ = depth_ == 0;
    } else if (token.text == ";" && depth_ == 0) {
      in_typedef_ = false;
    } else if (behind_ && token.kind == TokenKind::name) {
      types.emplace(token.text);
    }
  }

  struct Taking {
    std::string variable, type, place;
  };

  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> pointers_;
  std::vector<Taking> takings_;
  std::string statement_;
  std::vector<std::string> head_;
  bool behind_tag_ = false, in_head_ = false, in_typedef_ = false, behind_ = false;
  int brackets_ = 0, depth_ = 0;
};

std::map<std::string, int> more_often(const std::map<std::string, int>& here,
                                      const std::map<std::string, int>& there) {
  std::map<std::string, int> out;
  for (const auto& [text, count] : here) {
    auto other = there.find(text);
    if (const int more = count - (other == there.end() ? 0 : other->second); more > 0) {
      out.emplace(text, more);
    }
  }
  return out;
}

// A name that means something by itself.
bool tells_something(std::string_view word) {
  constexpr std::array<std::string_view, 14> everywhere{
      "static", "inline",   "extern", "const", "volatile", "void", "NULL",
      "char",   "unsigned", "long",   "int",   "return",   "bool", "__init"};
  return starts_as_name(word) && std::ranges::find(everywhere, word) == everywhere.end();
}

// What stands in `after` wherever `old` stands in `before`, if they are the same otherwise. The
// variable that is declared by it may have another name, too.
std::optional<std::string_view> put_for(std::string_view old, std::string_view before,
                                        std::string_view after) {
  std::optional<std::string_view> out;
  std::string_view old_variable, variable;
  bool declares = false;  // the word before is the type, or one of its asterisks
  bool something_stays = false;
  while (!before.empty() && !after.empty()) {
    const std::string_view was = take_word(before);
    const std::string_view is = take_word(after);
    if (was == is) {
      declares = declares && was == "*";
      something_stays = something_stays || tells_something(was);
    } else if (was == old && (!out || *out == is)) {
      out = is;
      declares = true;
    } else if (starts_as_name(was) && starts_as_name(is) &&
               (old_variable.empty() ? declares : was == old_variable && is == variable)) {
      old_variable = was;
      variable = is;
      declares = false;
    } else {
      return std::nullopt;
    }
  }
  const bool same = before.empty() && after.empty() && (variable.empty() || something_stays);
  return same ? out : std::nullopt;
}

}  // namespace

void TypeNames::add(std::string_view before, std::string_view after) {
  Text old(before);
  Text now(after);
  before_.merge(old.types);
  after_.merge(now.types);
  files_.push_back({.gone = more_often(old.statements, now.statements),
                    .come = more_often(now.statements, old.statements),
                    .takings_before = old.takings(),
                    .takings_after = now.takings()});
}

TypeNames::Names TypeNames::replaced(std::string_view name, bool is_tagged) const {
  const std::string old = is_tagged ? tagged(name) : std::string(name);
  Names out;
  for (const File& file : files_) {
    for (const auto& [before, count] : file.gone) {
      for (const auto& [after, more] : file.come) {
        if (auto now = put_for(old, before, after)) {
          out.emplace(now->starts_with(tag_mark) ? now->substr(1) : *now);
        }
      }
    }
  }
  return out;
}

std::set<TypeNames::Reading> TypeNames::new_readings() const {
  const auto structure = [](const std::string& type) {
    return type.starts_with(tag_mark) ? type.substr(1) : std::string();
  };
  std::set<Reading> out;
  for (const File& file : files_) {
    for (const auto& [now, count] : file.takings_after) {
      const std::string type = structure(now.second);
      if (!after_.contains(type) || before_.contains(type)) {
        continue;
      }
      for (const auto& [old, times] : file.takings_before) {
        const auto still = file.takings_after.find(old);
        const bool gives_way = still == file.takings_after.end() || still->second < times;
        if (old.first == now.first && gives_way) {
          out.insert({.type = type, .before = structure(old.second), .place = now.first});
        }
      }
    }
  }
  return out;
}

}  // namespace suture::source
