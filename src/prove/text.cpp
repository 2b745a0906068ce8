// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: tell what a C file defines without a compiler, for tens of thousands of files, in
// seconds.
//
// Method: one pass over the characters. Directives are followed as far as the configuration decides
// them; of what it does not decide, every branch is read at the top level, and the first one inside
// of an item, so that braces stay in balance. An item ends with its ';' or, of a function, with its
// last brace.
//
// Invariants: a view never leaves the text; what cannot be read is skipped, and makes the answer
// smaller, never wrong: who asks must not conclude anything from what is missing.
#include "prove/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <utility>

namespace suture::prove {

namespace {

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::string_view name_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && in_name(text[end])) {
    ++end;
  }
  return text.substr(at, end - at);
}

// Where a comment, a string or a character that starts at `at` ends; `at` where none does.
std::size_t skip_unit(std::string_view text, std::size_t at) {
  const char c = text[at];
  if (c == '/' && at + 1 < text.size() && text[at + 1] == '*') {
    const std::size_t end = text.find("*/", at + 2);
    return end == std::string_view::npos ? text.size() : end + 2;
  }
  if (c == '/' && at + 1 < text.size() && text[at + 1] == '/') {
    return std::min(text.size(), text.find('\n', at));
  }
  if (c != '"' && c != '\'') {
    return at;
  }
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == c || text[i] == '\n') {
      return i + 1;
    }
  }
  return text.size();
}

// The end of a directive that starts at `at`: of its line, or of the last that it is continued on.
std::size_t directive_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) {
      return text.size();
    }
    const std::size_t comment = text.substr(at, end - at).rfind("/*");
    if (comment != std::string_view::npos) {
      const std::size_t close = text.find("*/", at + comment + 2);
      if (close != std::string_view::npos && close > end) {
        at = close + 2;
        continue;
      }
    }
    const std::size_t last = end > at && text[end - 1] == '\r' ? end - 1 : end;
    if (last > at && text[last - 1] == '\\') {
      at = end + 1;
      continue;
    }
    return end;
  }
  return text.size();
}

Truth both(Truth a, Truth b) {
  if (a == Truth::no || b == Truth::no) {
    return Truth::no;
  }
  return a == Truth::yes && b == Truth::yes ? Truth::yes : Truth::unknown;
}
Truth opposite(Truth a) {
  return a == Truth::unknown ? a : a == Truth::yes ? Truth::no : Truth::yes;
}
Truth either(Truth a, Truth b) { return opposite(both(opposite(a), opposite(b))); }
Truth truth_of(bool value) { return value ? Truth::yes : Truth::no; }

// The condition of #if, by recursive descent; a number that is not known makes it unknown.
class Condition {
 public:
  Condition(std::string_view text, const Configuration& configuration)
      : text_(text), configuration_(configuration) {}

  Truth read() {
    const Truth out = alternatives(0);
    return peek() == '\0' ? out : Truth::unknown;
  }

 private:
  static constexpr int deepest = 64;

  char peek() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_blank(c) || c == '\\') {
        ++at_;
      } else if (c == '/') {
        const std::size_t end = skip_unit(text_, at_);
        if (end == at_) {
          return c;
        }
        at_ = end;
      } else {
        return c;
      }
    }
    return '\0';
  }
  bool take(std::string_view word) {
    peek();
    if (!text_.substr(at_).starts_with(word)) {
      return false;
    }
    at_ += word.size();
    return true;
  }
  std::string_view take_name() {
    peek();
    const std::string_view name =
        at_ < text_.size() && starts_name(text_[at_]) ? name_at(text_, at_) : std::string_view{};
    at_ += name.size();
    return name;
  }

  Truth alternatives(int depth) {
    Truth out = parts(depth);
    while (take("||")) {
      out = either(out, parts(depth));
    }
    return out;
  }
  Truth parts(int depth) {
    Truth out = comparison(depth);
    while (take("&&")) {
      out = both(out, comparison(depth));
    }
    return out;
  }

  // What is compared with something is known where both sides are numbers.
  struct Value {
    Truth truth = Truth::unknown;
    std::optional<long long> number;
  };
  Truth comparison(int depth) {
    const Value left = primary(depth);
    for (std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (!take(sign)) {
        continue;
      }
      const Value right = primary(depth);
      if (!left.number || !right.number) {
        return Truth::unknown;
      }
      const auto order = *left.number <=> *right.number;
      return truth_of(sign == "=="   ? order == 0
                      : sign == "!=" ? order != 0
                      : sign == "<=" ? order <= 0
                      : sign == ">=" ? order >= 0
                      : sign == "<"  ? order < 0
                                     : order > 0);
    }
    return left.truth;
  }
  Value primary(int depth) {
    const char c = peek();
    if (depth > deepest) {
      at_ = text_.size();
      return {};
    }
    if (c == '!') {
      ++at_;
      return Value{opposite(primary(depth + 1).truth), {}};
    }
    if (c == '(') {
      ++at_;
      const Truth inside = alternatives(depth + 1);
      return take(")") ? Value{inside, {}} : Value{};
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      const std::string word(name_at(text_, at_));
      at_ += word.size();
      const long long number = std::strtoll(word.c_str(), nullptr, 0);
      return Value{truth_of(number != 0), number};
    }
    const std::string_view name = take_name();
    if (name.empty()) {
      return {};
    }
    if (name == "defined") {
      const bool bracket = take("(");
      const std::string_view macro = take_name();
      if (bracket && !take(")")) {
        return {};
      }
      return Value{configuration_.defines(macro), {}};
    }
    if (take("(")) {
      const std::string_view option = take_name();
      return take(")") ? Value{asks(name, option), {}} : Value{};
    }
    return option(name);
  }
  Truth asks(std::string_view question, std::string_view option) const {
    if (!option.starts_with("CONFIG_")) {
      return Truth::unknown;
    }
    const std::string_view value = configuration_.value(option);
    if (question == "IS_ENABLED") {
      return truth_of(value == "y" || value == "m");
    }
    if (question == "IS_BUILTIN") {
      return truth_of(value == "y");
    }
    return question == "IS_MODULE" ? truth_of(value == "m") : Truth::unknown;
  }
  Value option(std::string_view name) const {
    if (name == "HZ") {
      return option("CONFIG_HZ");
    }
    if (name == "BITS_PER_LONG") {
      const bool wide = configuration_.value("CONFIG_64BIT") == "y";
      return Value{Truth::yes, wide ? 64 : 32};
    }
    if (!name.starts_with("CONFIG_")) {
      return {};
    }
    const std::string value(configuration_.value(name));
    if (value == "y") {
      return Value{Truth::yes, 1};
    }
    if (value.empty() || value == "m") {
      return Value{Truth::no, 0};
    }
    char* end = nullptr;
    const long long number = std::strtoll(value.c_str(), &end, 0);
    return *end == '\0' ? Value{truth_of(number != 0), number} : Value{};
  }

  std::string_view text_;
  const Configuration& configuration_;
  std::size_t at_ = 0;
};

// The conditionals that a place of a file stands in.
class Conditionals {
 public:
  explicit Conditionals(const Configuration& configuration) : configuration_(configuration) {}

  // True where what follows is read: nothing leaves it out.
  bool live() const { return dead_ == 0; }
  bool certain() const { return uncertain_ == 0; }

  // Follows a directive; `inside`: of an item, where only the first branch of what is not known is
  // read. False where it is no conditional.
  bool follow(std::string_view word, std::string_view rest, std::string_view behind, bool inside) {
    const bool first = !std::exchange(begun_, true);
    if (word == "if" || word == "ifdef" || word == "ifndef") {
      Truth now =
          word == "if" ? configuration_.holds(rest) : configuration_.defines(name_at(rest, 0));
      now = word == "ifndef" ? opposite(now) : now;
      if (first && now == Truth::unknown && guards(word, rest, behind)) {
        now = Truth::yes;
      }
      push(now);
    } else if (word == "elif" || word == "else") {
      if (!levels_.empty()) {
        Level& level = levels_.back();
        leave(level);
        const Truth now = word == "else" ? Truth::yes : configuration_.holds(rest);
        level.now = both(opposite(level.before), now);
        if (inside && level.before == Truth::unknown) {
          level.now = Truth::no;
        }
        level.before = either(level.before, now);
        enter(level);
      }
    } else if (word == "endif") {
      if (!levels_.empty()) {
        leave(levels_.back());
        levels_.pop_back();
      }
    } else {
      return false;
    }
    return true;
  }

 private:
  struct Level {
    Truth now = Truth::yes;     // of the branch that is read
    Truth before = Truth::yes;  // whether one of the branches so far was compiled
  };
  // A header's first directive that keeps it from being read twice.
  static bool guards(std::string_view word, std::string_view rest, std::string_view behind) {
    if (word == "if") {
      return rest.starts_with("!defined");
    }
    behind = trimmed(behind);
    const std::string_view name = name_at(rest, 0);
    if (!behind.starts_with("#")) {
      return false;
    }
    behind = trimmed(behind.substr(1));
    return behind.starts_with("define") && name_at(trimmed(behind.substr(6)), 0) == name;
  }
  void push(Truth now) {
    levels_.push_back(Level{now, now});
    enter(levels_.back());
  }
  void enter(const Level& level) {
    dead_ += level.now == Truth::no ? 1 : 0;
    uncertain_ += level.now == Truth::unknown ? 1 : 0;
  }
  void leave(const Level& level) {
    dead_ -= level.now == Truth::no ? 1 : 0;
    uncertain_ -= level.now == Truth::unknown ? 1 : 0;
  }

  const Configuration& configuration_;
  std::vector<Level> levels_;
  int dead_ = 0, uncertain_ = 0;
  bool begun_ = false;
};

struct Directive {
  std::string_view word, rest;
  std::size_t end = 0;
};

Directive directive_at(std::string_view text, std::size_t hash) {
  Directive out;
  out.end = directive_end(text, hash);
  std::string_view line = trimmed(text.substr(hash + 1, out.end - hash - 1));
  out.word = name_at(line, 0);
  out.rest = trimmed(line.substr(out.word.size()));
  return out;
}

constexpr std::array<bool, 256> special_characters() {
  std::array<bool, 256> out{};
  for (const char c : {'{', '}', '(', ')', ';', '"', '\'', '/', '#', '\n', '='}) {
    out[static_cast<unsigned char>(c)] = true;
  }
  return out;
}
constexpr std::array<bool, 256> special = special_characters();

// What takes arguments beside a function's name without being it.
bool is_attribute(std::string_view name) {
  constexpr std::string_view words[] = {
      "__attribute__", "__printf",      "__scanf",       "__aligned",
      "__section",     "__acquires",    "__releases",    "__must_hold",
      "__alloc_size",  "__malloc",      "__alias",       "__nonnull",
      "__cond_lock",   "__no_sanitize", "__diag_ignore", "typeof",
      "__typeof__",    "__asm__",       "asm",           "__assume_aligned",
      "__declspec",    "__ref_count",   "__guarded_by",  "__randomize_layout"};
  return std::ranges::find(words, name) != std::end(words);
}

class CReader {
 public:
  CReader(std::string_view text, const Configuration& configuration)
      : text_(text), conditionals_(configuration) {}

  FileText read() {
    while (at_ < text_.size()) {
      if (!conditionals_.live()) {
        skip_dead();
      } else if (is_blank(text_[at_])) {
        line_starts_ = line_starts_ || text_[at_] == '\n';
        ++at_;
      } else if (text_[at_] == '#' && line_starts_) {
        directive();
      } else if (const std::size_t end = skip_unit(text_, at_); text_[at_] == '/' && end != at_) {
        at_ = end;
      } else {
        item();
      }
    }
    return std::move(out_);
  }

 private:
  // To the next directive.
  void skip_dead() {
    while (at_ < text_.size()) {
      while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) {
        ++at_;
      }
      if (at_ < text_.size() && text_[at_] == '#') {
        const Directive found = directive_at(text_, at_);
        conditionals_.follow(found.word, found.rest, text_.substr(found.end), false);
        at_ = found.end;
        line_starts_ = false;
        return;
      }
      const std::size_t end = text_.find('\n', at_);
      at_ = end == std::string_view::npos ? text_.size() : end + 1;
    }
  }

  void directive() {
    const Directive found = directive_at(text_, at_);
    const std::string_view all = text_.substr(at_, found.end - at_);
    at_ = found.end;
    line_starts_ = false;
    if (conditionals_.follow(found.word, found.rest, text_.substr(found.end), false)) {
      return;
    }
    if (found.word == "include") {
      include(found.rest);
    } else if (found.word == "define") {
      out_.items.push_back(
          Item{ItemKind::macro, name_at(found.rest, 0), all, false, conditionals_.certain()});
    }
  }

  void include(std::string_view rest) {
    if (rest.empty() || (rest[0] != '"' && rest[0] != '<')) {
      return;
    }
    const std::size_t end = rest.find(rest[0] == '"' ? '"' : '>', 1);
    if (end != std::string_view::npos) {
      out_.includes.push_back(
          Inclusion{rest.substr(1, end - 1), rest[0] == '"', conditionals_.certain()});
    }
  }

  void item() {
    const std::size_t start = at_;
    const bool certain = conditionals_.certain();
    int brackets = 0;
    int braces = 0;
    bool is_function = false;
    bool assigns = false;
    std::string_view name;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (!special[static_cast<unsigned char>(c)]) {
        line_starts_ = line_starts_ && (c == ' ' || c == '\t');
        ++at_;
        continue;
      }
      if (c == '\n') {
        line_starts_ = true;
        ++at_;
        continue;
      }
      if (c == '#' && line_starts_) {
        inner_directive();
        continue;
      }
      line_starts_ = false;
      const std::size_t end = skip_unit(text_, at_);
      if (end != at_) {
        at_ = end;
        continue;
      }
      if (c == '(' && brackets++ == 0 && braces == 0 && !assigns) {
        take_name(start, name);
      } else if (c == ')') {
        brackets = std::max(0, brackets - 1);
      } else if (c == '=' && braces == 0 && brackets == 0) {
        assigns = true;
      } else if (c == '{') {
        if (braces++ == 0) {
          brackets = 0;
          is_function = !assigns && !name.empty();
        }
      } else if (c == '}') {
        braces = std::max(0, braces - 1);
        if (braces == 0 && is_function) {
          ++at_;
          add(start, name, true, certain);
          return;
        }
      } else if (c == ';' && braces == 0 && brackets == 0) {
        ++at_;
        add(start, name, false, certain);
        return;
      }
      ++at_;
    }
    add(start, name, false, certain);
  }

  // Conditionals inside of an item; a branch that is not read is passed over.
  void inner_directive() {
    const Directive found = directive_at(text_, at_);
    conditionals_.follow(found.word, found.rest, text_.substr(found.end), true);
    at_ = found.end;
    while (!conditionals_.live() && at_ < text_.size()) {
      const std::size_t line = text_.find('\n', at_);
      if (line == std::string_view::npos) {
        at_ = text_.size();
        return;
      }
      at_ = line + 1;
      std::size_t hash = at_;
      while (hash < text_.size() && (text_[hash] == ' ' || text_[hash] == '\t')) {
        ++hash;
      }
      if (hash < text_.size() && text_[hash] == '#') {
        const Directive next = directive_at(text_, hash);
        conditionals_.follow(next.word, next.rest, text_.substr(next.end), true);
        at_ = next.end;
      }
    }
  }

  // What stands before a bracket at the top level may be a function's name.
  void take_name(std::size_t start, std::string_view& name) const {
    std::size_t end = at_;
    while (end > start && is_blank(text_[end - 1])) {
      --end;
    }
    std::size_t first = end;
    while (first > start && in_name(text_[first - 1])) {
      --first;
    }
    const std::string_view found = text_.substr(first, end - first);
    if (found.empty() || !starts_name(found[0]) || is_attribute(found)) {
      return;
    }
    // What only a macro makes has no type before it.
    const bool by_macro =
        first == start && std::ranges::none_of(found, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!by_macro) {
      name = found;
    } else if (name.empty()) {
      const std::size_t close = text_.find_first_of(",)\n", at_);
      name = text_.substr(first, std::min(text_.size(), close) - first);
    }
  }

  void add(std::size_t start, std::string_view name, bool is_function, bool certain) {
    const std::string_view text = text_.substr(start, at_ - start);
    if (trimmed(text) == ";") {
      return;
    }
    Item item{is_function ? ItemKind::function : ItemKind::other,
              is_function ? name : std::string_view{}, text, false, certain};
    const std::size_t head = text.find_first_of("({;=");
    for (std::size_t at = text.find("static"); at < head; at = text.find("static", at + 1)) {
      item.local = item.local || name_at(text, at) == "static";
    }
    out_.items.push_back(item);
  }

  std::string_view text_;
  Conditionals conditionals_;
  FileText out_;
  std::size_t at_ = 0;
  bool line_starts_ = true;
};

}  // namespace

Configuration::Configuration(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.size(), text.find('\n', at));
    const std::string_view line = std::string_view(text).substr(at, end - at);
    const std::size_t equal = line.find('=');
    if (line.starts_with("CONFIG_") && equal != std::string_view::npos) {
      values_.emplace(line.substr(0, equal), line.substr(equal + 1));
    }
    at = end + 1;
  }
}

std::string_view Configuration::value(std::string_view name) const {
  const auto found = values_.find(std::string(name));
  return found == values_.end() ? std::string_view{} : std::string_view(found->second);
}

Truth Configuration::defines(std::string_view macro) const {
  if (macro == "__KERNEL__") {
    return Truth::yes;
  }
  if (macro == "__ASSEMBLY__" || macro == "__cplusplus" || macro == "__CHECKER__") {
    return Truth::no;
  }
  if (!macro.starts_with("CONFIG_")) {
    return Truth::unknown;
  }
  const std::string_view own = value(macro);
  if (!own.empty()) {
    return truth_of(own != "m");
  }
  constexpr std::string_view suffix = "_MODULE";
  return truth_of(macro.ends_with(suffix) &&
                  value(macro.substr(0, macro.size() - suffix.size())) == "m");
}

Truth Configuration::holds(std::string_view condition) const {
  return Condition(condition, *this).read();
}

FileText read_c(std::string_view text, const Configuration& configuration) {
  return CReader(text, configuration).read();
}

std::string tokens_of(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = skip_unit(text, at);
    if (is_blank(text[at]) || text[at] == '\\') {
      ++at;
    } else if (text[at] == '/' && end != at) {
      at = end;
    } else {
      const std::size_t size = end != at           ? end - at
                               : in_name(text[at]) ? name_at(text, at).size()
                                                   : std::size_t{1};
      out += text.substr(at, size);
      out += ' ';
      at += size;
    }
  }
  return out;
}

void each_identifier(std::string_view text, const Configuration& configuration, const Seen& seen) {
  Conditionals conditionals(configuration);
  bool line_starts = false;  // the text may itself be a directive
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\n') {
      line_starts = true;
      ++at;
    } else if (c == '#' && line_starts) {
      const Directive found = directive_at(text, at);
      const bool conditional =
          conditionals.follow(found.word, found.rest, text.substr(found.end), false);
      at = conditional ? found.end : at + 1;
    } else if (const std::size_t end = skip_unit(text, at); end != at) {
      at = end;
    } else if (starts_name(c)) {
      const std::string_view name = name_at(text, at);
      line_starts = false;
      at += name.size();
      if (conditionals.live()) {
        const std::size_t next = text.find_first_not_of(" \t\n", at);
        seen(name, conditionals.certain(), next != std::string_view::npos && text[next] == '(');
      }
    } else if (in_name(c)) {
      at += name_at(text, at).size();
    } else {
      line_starts = line_starts && is_blank(c);
      ++at;
    }
  }
}

std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace suture::prove
