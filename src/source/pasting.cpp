// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: "vma_is_##what" makes a name that is written nowhere, so whoever calls the macro names
// something without naming it.
//
// Method: each run of "a ## b" in a macro's body is a pattern of what is written there and of the
// macro's parameters. A macro that hands a parameter of its own on to one of those has the pattern
// too. Whoever calls such a macro, and writes a part that the pattern lacks, names what comes of
// it.
//
// Invariant: a pattern may match more than the macro makes, never less, as long as a part is one
// word; a part that is pasted itself counts as unknown.
#include "source/pasting.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "source/c_text.h"
#include "source/index_format.h"

namespace suture::source {

namespace {

// Letters, holes (Pasting), and in between the macro's own parameters: `parameter` and its number.
using Pattern = std::string;
constexpr char filled = '\4';  // a hole that a parameter stands in, with more
constexpr char parameter = '\5';
constexpr int most_parameters = 200;

using Argument = std::vector<Token>;

// A macro with more patterns than that may make anything.
constexpr std::size_t most_patterns = 20'000;
constexpr int deepest_call = 10;

int parameter_number(const Macro& macro, std::string_view name) {
  auto it = std::ranges::find(macro.parameters, name);
  return it == macro.parameters.end() ? -1 : static_cast<int>(it - macro.parameters.begin());
}

bool may_be_pasted(const Token& token) {
  return token.kind == TokenKind::name || token.kind == TokenKind::number;
}

Pattern pattern_of(int number) {
  return number < most_parameters ? Pattern{parameter, static_cast<char>(number + 1)}
                                  : Pattern{filled};
}

Pattern pattern_of(const Macro& macro, const Token& token) {
  int number = parameter_number(macro, token.text);
  return number >= 0 ? pattern_of(number) : Pattern(token.text);
}

// Calls work(number, letters) for each part of the pattern: a parameter, or all up to the next one,
// with the number -1.
template <class Work>
void for_each_part(std::string_view pattern, const Work& work) {
  while (!pattern.empty()) {
    std::size_t size = std::min(pattern.find(parameter), pattern.size());
    if (size > 0) {
      work(-1, pattern.substr(0, size));
    } else {
      size = 2;
      work(static_cast<unsigned char>(pattern[1]) - 1, std::string_view{});
    }
    pattern.remove_prefix(size);
  }
}

// What the macro pastes in its own body.
std::vector<Pattern> own_patterns(const Macro& macro) {
  std::vector<Pattern> out;
  const std::vector<Token>& body = macro.body;
  for (std::size_t i = 1; i + 1 < body.size(); ++i) {
    if (body[i].text != "##" || !may_be_pasted(body[i - 1]) || !may_be_pasted(body[i + 1])) {
      continue;
    }
    Pattern pattern = pattern_of(macro, body[i - 1]);
    for (; i + 1 < body.size() && body[i].text == "##" && may_be_pasted(body[i + 1]); i += 2) {
      pattern += pattern_of(macro, body[i + 1]);
    }
    --i;
    out.push_back(std::move(pattern));
  }
  return out;
}

// The arguments of the call whose bracket is at `at`; where it ends.
std::size_t read_arguments(std::span<const Token> body, std::size_t at,
                           std::vector<Argument>& out) {
  out.assign(1, {});
  int depth = 0;
  for (; at < body.size(); ++at) {
    const Token& token = body[at];
    bool opens = token.text == "(" || token.text == "{" || token.text == "[";
    bool closes = token.text == ")" || token.text == "}" || token.text == "]";
    depth += opens ? 1 : 0;
    depth -= closes ? 1 : 0;
    if (depth == 0) {
      return at + 1;
    }
    if (depth == 1 && token.text == ",") {
      out.emplace_back();
    } else if (depth > 1 || !opens) {
      out.back().push_back(token);
    }
  }
  return at;
}

// A name that begins with a digit is none.
bool may_make_a_name(const Pattern& pattern) {
  return !pattern.empty() && pattern[0] != Pasting::number &&
         (pattern[0] < '0' || pattern[0] > '9');
}

// The argument is "a ## b" itself.
bool is_pasted(const Argument& argument) {
  for (std::size_t i = 0; i < argument.size(); ++i) {
    if (i % 2 == 0 ? !may_be_pasted(argument[i]) : argument[i].text != "##") {
      return false;
    }
  }
  return argument.size() % 2 == 1;
}

bool gives(const Pattern& pattern) {
  return pattern.find_first_of(std::string_view("\4\5")) != Pattern::npos;
}

class PastingFinder {
 public:
  PastingFinder(const std::vector<std::string>& definitions, const Parts& parts) : parts_(parts) {
    for (std::size_t i : relevant(definitions)) {
      macros_.push_back(read_macro(definitions[i]));
    }
  }

  std::vector<Pasting> run() {
    std::vector<std::string_view> grown;
    for (std::size_t i = 0; i < macros_.size(); ++i) {
      const Macro& macro = macros_[i];
      for (Pattern& pattern : own_patterns(macro)) {
        add(macro.name, std::move(pattern), grown);
      }
      for (std::size_t k = 0; k + 1 < macro.body.size(); ++k) {
        if (is_call(macro, k) &&
            (callers_[macro.body[k].text].empty() || callers_[macro.body[k].text].back() != i)) {
          callers_[macro.body[k].text].push_back(i);
        }
      }
    }
    while (!grown.empty()) {
      std::set<std::size_t> callers;
      for (std::string_view name : std::exchange(grown, {})) {
        auto it = callers_.find(name);
        if (it != callers_.end()) {
          callers.insert(it->second.begin(), it->second.end());
        }
      }
      for (std::size_t caller : callers) {
        hand_on(macros_[caller], grown);
      }
    }
    return listed();
  }

 private:
  // The definitions that paste, or call, by whatever way, a macro that does.
  static std::vector<std::size_t> relevant(const std::vector<std::string>& definitions) {
    std::unordered_map<std::string_view, std::vector<std::size_t>> callers;
    std::vector<bool> known(definitions.size(), false);
    std::vector<std::size_t> work, out;
    auto take = [&](std::size_t i) {
      if (!known[i]) {
        known[i] = true;
        work.push_back(i);
      }
    };
    for (std::size_t i = 0; i < definitions.size(); ++i) {
      Macro macro = read_macro(definitions[i]);
      for (std::size_t k = 0; k + 1 < macro.body.size(); ++k) {
        if (macro.body[k].text == "##") {
          take(i);
        } else if (is_call(macro, k)) {
          callers[macro.body[k].text].push_back(i);
        }
      }
    }
    while (!work.empty()) {
      std::size_t at = work.back();
      work.pop_back();
      out.push_back(at);
      auto it = callers.find(read_macro(definitions[at]).name);
      if (it != callers.end()) {
        std::ranges::for_each(it->second, take);
        it->second.clear();
      }
    }
    std::ranges::sort(out);
    return out;
  }

  static bool is_call(const Macro& macro, std::size_t at) {
    return macro.function_like && macro.body[at].kind == TokenKind::name &&
           macro.body[at + 1].text == "(";
  }

  void add(std::string_view name, Pattern pattern, std::vector<std::string_view>& grown) {
    std::set<Pattern>& known = patterns_[name];
    if (known.size() >= most_patterns) {
      pattern = {filled, filled};
    }
    if (may_make_a_name(pattern) && known.insert(std::move(pattern)).second) {
      grown.push_back(name);
    }
  }

  // The patterns that the macro has by the calls in its body. What an inner call makes for an outer
  // one to paste is a part of that one's.
  void hand_on(const Macro& macro, std::vector<std::string_view>& grown) {
    std::vector<bool> inner(macro.body.size(), false);
    for (std::size_t k = 0; k + 1 < macro.body.size(); ++k) {
      if (!is_call(macro, k) || inner[k]) {
        continue;
      }
      for (Pattern& pattern : of_call(macro, macro.body, k, deepest_call)) {
        if (gives(pattern)) {
          add(macro.name, std::move(pattern), grown);
        }
      }
      mark_pasted(macro, k, inner);
    }
  }

  // Marks what the call at `at` pastes of its arguments.
  void mark_pasted(const Macro& macro, std::size_t at, std::vector<bool>& inner) const {
    auto patterns = patterns_.find(macro.body[at].text);
    if (patterns == patterns_.end()) {
      return;
    }
    std::set<int> pasted;
    for (const Pattern& pattern : patterns->second) {
      for_each_part(pattern, [&](int number, std::string_view) { pasted.insert(number); });
    }
    std::vector<Argument> arguments;
    const std::size_t end = read_arguments(macro.body, at + 1, arguments);
    std::size_t token = at + 2;
    for (std::size_t i = 0; i < arguments.size() && token < end; ++i) {
      for (std::size_t k = 0; k < arguments[i].size(); ++k, ++token) {
        inner[token] = inner[token] || pasted.contains(static_cast<int>(i));
      }
      ++token;  // the comma
    }
  }

  // What the call at `at` makes.
  std::vector<Pattern> of_call(const Macro& macro, std::span<const Token> body, std::size_t at,
                               int depth) const {
    std::vector<Pattern> out;
    auto patterns = patterns_.find(body[at].text);
    if (patterns == patterns_.end() || depth == 0) {
      return out;
    }
    std::vector<Argument> arguments;
    read_arguments(body, at + 1, arguments);
    for (const Pattern& pattern : patterns->second) {
      std::vector<Pattern> made(1);
      for_each_part(pattern, [&](int number, std::string_view letters) {
        if (number < 0) {
          append(made, {Pattern(letters)});
        } else if (static_cast<std::size_t>(number) < arguments.size()) {
          append(made, of_argument(macro, arguments[static_cast<std::size_t>(number)], depth));
        }
      });
      std::ranges::move(made, std::back_inserter(out));
    }
    return out;
  }

  // Each of `made`, followed by each of `behind`.
  static void append(std::vector<Pattern>& made, const std::vector<Pattern>& behind) {
    std::vector<Pattern> out;
    for (const Pattern& pattern : made) {
      for (const Pattern& more : behind) {
        out.push_back(pattern + more);
      }
    }
    made = std::move(out);
  }

  // What may come of an argument; nothing where no name can.
  std::vector<Pattern> of_argument(const Macro& macro, const Argument& argument, int depth) const {
    if (argument.empty()) {
      return {Pattern()};
    }
    if (argument.size() == 1) {
      return may_be_pasted(argument[0]) ? of_word(macro, argument[0]) : std::vector<Pattern>{};
    }
    if (is_pasted(argument)) {
      Pattern made;
      for (std::size_t i = 0; i < argument.size(); i += 2) {
        made += pattern_of(macro, argument[i]);
      }
      return {made};
    }
    std::vector<Argument> ignored;
    if (argument[0].kind == TokenKind::name && argument[1].text == "(" &&
        read_arguments(argument, 1, ignored) == argument.size()) {
      std::vector<Pattern> made = of_call(macro, argument, 0, depth - 1);
      if (!made.empty()) {
        return made;
      }
    }
    // Its first or its last word is pasted.
    if (!may_be_pasted(argument.front()) && !may_be_pasted(argument.back())) {
      return {};
    }
    bool given = std::ranges::any_of(
        argument, [&](const Token& token) { return parameter_number(macro, token.text) >= 0; });
    return {Pattern{given ? filled : Pasting::unknown}};
  }

  std::vector<Pattern> of_word(const Macro& macro, const Token& token) const {
    if (int number = parameter_number(macro, token.text); number >= 0) {
      return {pattern_of(number)};
    }
    if (token.text == "__COUNTER__" || token.text == "__LINE__") {
      return {Pattern{Pasting::number}};
    }
    if (token.text.starts_with("KBUILD_") || parts_.made.contains(token.text)) {
      return {Pattern{Pasting::unknown}};
    }
    std::vector<Pattern> out{Pattern(token.text)};
    auto words = std::ranges::equal_range(parts_.words, token.text, {},
                                          [](const auto& pair) { return pair.first; });
    for (const auto& [macro_name, word] : words) {
      out.emplace_back(word);
    }
    for (const NumberWord& number : std::ranges::equal_range(
             parts_.numbers, hash_of_name(token.text), {}, &NumberWord::macro)) {
      out.emplace_back(number.text());
    }
    return out;
  }

  std::vector<Pasting> listed() const {
    std::vector<Pasting> out;
    for (const auto& [name, patterns] : patterns_) {
      std::set<std::string> unique;
      for (const Pattern& pattern : patterns) {
        std::string text;
        for_each_part(pattern, [&](int number, std::string_view letters) {
          text += number < 0 ? std::string(letters) : std::string{Pasting::given};
        });
        std::ranges::replace(text, filled, Pasting::unknown);
        unique.insert(std::move(text));
      }
      for (const std::string& pattern : unique) {
        out.push_back({std::string(name), pattern});
      }
    }
    return out;
  }

  const Parts& parts_;
  std::vector<Macro> macros_;
  std::map<std::string_view, std::set<Pattern>, std::less<>> patterns_;
  std::unordered_map<std::string_view, std::vector<std::size_t>> callers_;
};

}  // namespace

std::vector<Pasting> pastings(const std::vector<std::string>& definitions, const Parts& parts) {
  return PastingFinder(definitions, parts).run();
}

namespace {

bool is_hole(char c) {
  return c == Pasting::given || c == Pasting::unknown || c == Pasting::number;
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

struct Matcher {
  const std::function<bool(std::string_view)>& exists;
  const std::size_t whole;  // the name's size
  std::vector<std::vector<std::string>> ways;
  std::vector<std::string> given;

  void match(std::string_view pattern, std::string_view name) {
    constexpr std::size_t most_ways = 64;
    if (ways.size() >= most_ways) {
      return;
    }
    while (!pattern.empty() && !is_hole(pattern[0])) {
      if (name.empty() || name[0] != pattern[0]) {
        return;
      }
      pattern.remove_prefix(1);
      name.remove_prefix(1);
    }
    if (pattern.empty()) {
      if (name.empty()) {
        ways.push_back(given);
      }
      return;
    }
    const bool must_exist = pattern[0] == Pasting::given;
    for (std::size_t size = 0; size <= name.size(); ++size) {
      std::string_view part = name.substr(0, size);
      // What one part gives as a whole is not pasted here.
      if (size == whole || (pattern[0] == Pasting::number && !is_number(part))) {
        continue;
      }
      bool number = size > 0 && part[0] >= '0' && part[0] <= '9';
      if (must_exist && size > 0 && !number && !exists(part)) {
        continue;
      }
      bool kept = must_exist && size > 0;
      if (kept) {
        given.emplace_back(part);
      }
      match(pattern.substr(1), name.substr(size));
      if (kept) {
        given.pop_back();
      }
    }
  }
};

}  // namespace

std::vector<std::vector<std::string>> ways_to_paste(
    std::string_view pattern, std::string_view name,
    const std::function<bool(std::string_view)>& exists) {
  std::size_t hole = pattern.find_first_of("\1\2\3");
  std::size_t last = pattern.find_last_of("\1\2\3");
  if (hole != std::string_view::npos &&
      (!name.starts_with(pattern.substr(0, hole)) || !name.ends_with(pattern.substr(last + 1)))) {
    return {};
  }
  Matcher matcher{exists, name.size(), {}, {}};
  matcher.match(pattern, name);
  return matcher.ways;
}

}  // namespace suture::source
