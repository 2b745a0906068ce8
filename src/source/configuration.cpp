// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: much of a header is what other configurations read instead: empty functions in place of
// those that are left out. Names in such a branch lead to units that never see them.
//
// Method: conditions of options alone (defined(CONFIG_X), IS_ENABLED(), and, or, not) are worth
// what the configuration says. All else is not known, and its branches stay.
//
// Invariant: a branch is left out only if every unit that is compiled with the configuration's
// header before all others leaves it out.
#include "source/configuration.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/text.h"

namespace suture::source {

namespace {

constexpr std::string_view option_prefix = "CONFIG_";

std::optional<bool> negated(std::optional<bool> value) {
  return value ? std::optional(!*value) : std::nullopt;
}

}  // namespace

// ors: ands { "||" ands }; ands: one { "&&" one }; one: "!" one, "(" ors ")", or a question about
// an option. Whatever else stands there makes all of it unknown.
class ConditionReader {
 public:
  ConditionReader(const Configuration& configuration, std::string_view text)
      : configuration_(configuration) {
    Lexer lexer(text, false);
    for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
      tokens_.push_back(token.text);
    }
  }

  std::optional<bool> read() {
    const std::optional<bool> out = ors();
    return at_ == tokens_.size() && !odd_ ? out : std::nullopt;
  }

 private:
  bool take(std::string_view text) {
    const bool found = at_ < tokens_.size() && tokens_[at_] == text;
    at_ += found ? 1 : 0;
    return found;
  }
  bool take_twice(std::string_view text) {
    const bool found = at_ + 1 < tokens_.size() && tokens_[at_] == text && tokens_[at_ + 1] == text;
    at_ += found ? 2 : 0;
    return found;
  }
  std::string_view word() { return at_ < tokens_.size() ? tokens_[at_++] : std::string_view{}; }

  std::optional<bool> ors() {
    std::optional<bool> out = ands();
    while (take_twice("|")) {
      const std::optional<bool> other = ands();
      if (out == true || other == true) {
        out = true;
      } else if (!out || !other) {
        out = std::nullopt;
      }
    }
    return out;
  }

  std::optional<bool> ands() {
    std::optional<bool> out = one();
    while (take_twice("&")) {
      const std::optional<bool> other = one();
      if (out == false || other == false) {
        out = false;
      } else if (!out || !other) {
        out = std::nullopt;
      }
    }
    return out;
  }

  std::optional<bool> one() {
    if (take("!")) {
      return negated(one());
    }
    if (take("(")) {
      const std::optional<bool> out = ors();
      odd_ = odd_ || !take(")");
      return out;
    }
    if (take("defined")) {
      const bool brackets = take("(");
      const std::string_view name = word();
      odd_ = odd_ || (brackets && !take(")"));
      return configuration_.is_defined(name);
    }
    if (take("IS_ENABLED") && take("(")) {
      const std::string_view name = word();
      odd_ = odd_ || !take(")");
      return configuration_.is_enabled(name);
    }
    odd_ = true;
    return std::nullopt;
  }

  const Configuration& configuration_;
  std::vector<std::string_view> tokens_;
  std::size_t at_ = 0;
  bool odd_ = false;
};

Configuration::Configuration(std::string_view autoconf,
                             std::function<bool(std::string_view name)> is_set_by_hand)
    : is_set_by_hand_(std::move(is_set_by_hand)) {
  for_each_line(autoconf, [&](std::string_view line) {
    if (!line.starts_with('#')) {
      return;
    }
    const Directive directive = read_directive(line.substr(1));
    if (directive.word == "define") {
      Lexer lexer(directive.rest, false);
      const std::string_view name = lexer.next().text;
      values_.emplace(name, lexer.next().text);
    }
  });
}

std::optional<bool> Configuration::is_defined(std::string_view name) const {
  if (!name.starts_with(option_prefix) || is_set_by_hand_(name)) {
    return std::nullopt;
  }
  return values_.contains(name);
}

std::optional<bool> Configuration::is_enabled(std::string_view name) const {
  const std::string module = std::string(name) + "_MODULE";
  if (!is_defined(name) || !is_defined(module)) {
    return std::nullopt;
  }
  return std::ranges::any_of(std::array<std::string_view, 2>{name, module},
                             [&](std::string_view either) {
                               const auto it = values_.find(either);
                               return it != values_.end() && it->second == "1";
                             });
}

std::optional<bool> Configuration::value(const Directive& directive) const {
  const std::string_view word = directive.word;
  if (word.ends_with("def")) {  // #ifdef, #ifndef, #elifdef, #elifndef
    Lexer lexer(directive.rest, false);
    const std::optional<bool> defined = is_defined(lexer.next().text);
    return word.ends_with("ndef") ? negated(defined) : defined;
  }
  return ConditionReader(*this, directive.rest).read();
}

std::string Configuration::without_excluded_branches(std::string text) const {
  text = joined_lines(std::move(text));
  std::string out = text;
  std::vector<bool> frames;  // of each condition: a branch was taken, for sure
  std::size_t outside = 0;   // of the frames: how many are not within an excluded branch
  std::size_t begin = 0;     // where that branch begins
  Lexer lexer(text);
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    if (token.kind != TokenKind::directive) {
      continue;
    }
    const Directive directive = read_directive(token.text);
    const bool opens = directive.word.starts_with("if");
    const bool closes = directive.word == "endif";
    if (!opens && !closes && !directive.word.starts_with("el")) {
      continue;
    }
    if (opens) {
      frames.push_back(false);
    }
    if (frames.empty()) {
      break;  // an #else or #endif of nothing: whatever it means, it stays
    }
    const bool was_excluded = outside < frames.size() - (opens ? 1 : 0);
    const bool in_excluded = outside < frames.size() - 1;  // in one around this condition
    const auto at = static_cast<std::size_t>(token.text.data() - text.data());
    if (was_excluded && !in_excluded && !opens) {
      // The '#' stands before it.
      std::ranges::replace_if(
          out.begin() + static_cast<std::ptrdiff_t>(begin),
          out.begin() + static_cast<std::ptrdiff_t>(at - 1), [](char c) { return c != '\n'; }, ' ');
    }
    if (closes) {
      frames.pop_back();
      outside = std::min(outside, frames.size());
      continue;
    }
    const std::optional<bool> holds = directive.word == "else" ? std::nullopt : value(directive);
    const bool excluded = frames.back() || holds == false;
    frames.back() = frames.back() || holds == true;
    if (!in_excluded) {
      outside = excluded ? frames.size() - 1 : frames.size();
      begin = at + token.text.size();
    }
  }
  return out;
}

std::string_view option_set_by(const Directive& directive) {
  if (directive.word != "define" && directive.word != "undef") {
    return {};
  }
  Lexer lexer(directive.rest, false);
  const std::string_view name = lexer.next().text;
  return name.starts_with(option_prefix) ? name : std::string_view{};
}

}  // namespace suture::source
