// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/shell_words.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace suture::kernel {

namespace {

// A word of a shell line, or one of the operators that end a command.
struct Token {
  std::string text;
  bool ends_command = false;
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool is_operator(char c) { return c == ';' || c == '&' || c == '|' || c == '\n'; }

// Reads what is quoted from line[at] (the opening quote) into `word`; the index behind it.
std::optional<std::size_t> read_quoted(std::string_view line, std::size_t at, std::string& word) {
  char quote = line[at];
  for (std::size_t i = at + 1; i < line.size(); ++i) {
    if (line[i] == quote) {
      return i + 1;
    }
    if (quote == '"' && line[i] == '\\' && i + 1 < line.size() &&
        std::string_view("$`\"\\\n").find(line[i + 1]) != std::string_view::npos) {
      ++i;
      if (line[i] == '\n') {
        continue;
      }
    }
    word += line[i];
  }
  return std::nullopt;
}

Result<std::vector<Token>> tokenize(std::string_view line) {
  auto unfinished = [&](std::string_view what) {
    return fail(Code::child_failed, "make",
                fmt::format("a command line ends inside {}: '{}'", what, line.substr(0, 200)),
                "prepare the source tree again");
  };
  std::vector<Token> tokens;
  std::string word;
  bool open = false;  // a word has begun; it may still be empty ('')
  auto finish_word = [&] {
    if (std::exchange(open, false)) {
      tokens.push_back({std::exchange(word, {}), false});
    }
  };
  for (std::size_t i = 0; i < line.size();) {
    char c = line[i];
    if (is_blank(c)) {
      finish_word();
      ++i;
    } else if (is_operator(c)) {
      finish_word();
      tokens.push_back({std::string(1, c), true});
      ++i;
    } else if (c == '\\') {
      if (i + 1 == line.size()) {
        return unfinished("a backslash");
      }
      if (line[i + 1] != '\n') {
        open = true;
        word += line[i + 1];
      }
      i += 2;
    } else if (c == '\'' || c == '"') {
      open = true;
      auto end = read_quoted(line, i, word);
      if (!end) {
        return unfinished("quotes");
      }
      i = *end;
    } else {
      open = true;
      word += c;
      ++i;
    }
  }
  finish_word();
  return tokens;
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  for (Token& token : TRY(tokenize(line))) {
    words.push_back(std::move(token.text));
  }
  return words;
}

Result<std::vector<std::vector<std::string>>> split_commands(std::string_view line) {
  std::vector<std::vector<std::string>> commands(1);
  for (Token& token : TRY(tokenize(line))) {
    if (token.ends_command) {
      commands.emplace_back();
    } else {
      commands.back().push_back(std::move(token.text));
    }
  }
  return commands;
}

}  // namespace suture::kernel
