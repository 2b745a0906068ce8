// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: an export's CRC also changes where nothing does that a caller could notice: a file that
// includes one header more knows what is in a structure that it only knew by name before, and the
// CRC is made of all that is known.
//
// Method: genksyms says what it made the number of. Both sides are walked from the export on, name
// by name. Where one side knows only the name of a type, the other may say what is in it: nothing
// is said in two ways. Every other difference is a change.
//
// Invariant: a type that both sides know and declare differently is found, however deep it is.
#include "patch/export_types.h"

#include <algorithm>
#include <set>

namespace suture::patch {

namespace {

ExportTypes::Words words_of(std::string_view line) {
  ExportTypes::Words out;
  while (!line.empty()) {
    std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) {
      out.emplace_back(line.substr(0, end));
    }
    line.remove_prefix(std::min(line.size(), end + 1));
  }
  return out;
}

// "struct sock { UNKNOWN }"
bool is_only_a_name(const ExportTypes::Words& words) {
  constexpr std::string_view nothing[] = {"{", "UNKNOWN", "}"};
  return words.size() >= std::size(nothing) &&
         std::equal(std::begin(nothing), std::end(nothing), words.end() - std::ssize(nothing));
}

bool is_type(std::string_view word) {
  return word.size() > 2 && word[1] == '#' &&
         std::string_view("tesuE").find(word[0]) != std::string_view::npos;
}

// "s#sock" as C has it.
std::string in_c(std::string_view word) {
  if (!is_type(word)) {
    return std::string(word);
  }
  const std::string name(word.substr(2));
  switch (word[0]) {
    case 'e': return "enum " + name;
    case 's': return "struct " + name;
    case 'u': return "union " + name;
    default: return name;  // a typedef, or a value of an enumeration
  }
}

// From the first word on that differs, a few.
std::string excerpt(const ExportTypes::Words& words, std::size_t from) {
  constexpr std::size_t most = 12;
  std::string out;
  for (std::size_t i = from; i < std::min(words.size(), from + most); ++i) {
    out += (i == from ? "" : " ") + in_c(words[i]);
  }
  return from + most < words.size() ? out + " ..." : out;
}

}  // namespace

ExportTypes::ExportTypes(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    Words words = words_of(line);
    if (words.size() > 1 && words.front() == "override") {
      words.erase(words.begin());
    }
    if (words.size() < 2) {
      continue;
    }
    std::string name = std::move(words.front());
    words.erase(words.begin());
    // Whether a declaration came before the definition is nothing to a caller.
    if (words.front() == "extern") {
      words.erase(words.begin());
    }
    declarations_.emplace(std::move(name), std::move(words));
  }
}

const ExportTypes::Words* ExportTypes::find(std::string_view name) const {
  auto found = declarations_.find(name);
  return found == declarations_.end() ? nullptr : &found->second;
}

std::optional<ExportChange> export_change(const ExportTypes& pre, const ExportTypes& post,
                                          std::string_view name) {
  std::vector<std::string> open{std::string(name)};
  std::set<std::string> seen{open.front()};
  while (!open.empty()) {
    const std::string at = std::move(open.back());
    open.pop_back();
    const ExportTypes::Words* before = pre.find(at);
    const ExportTypes::Words* after = post.find(at);
    if (before == nullptr || after == nullptr) {
      if (at == name) {
        return ExportChange{.what = {},
                            .before = before == nullptr ? "" : excerpt(*before, 0),
                            .after = after == nullptr ? "" : excerpt(*after, 0)};
      }
      continue;
    }
    if (is_only_a_name(*before) || is_only_a_name(*after)) {
      continue;
    }
    if (*before != *after) {
      auto [first, second] = std::ranges::mismatch(*before, *after);
      const auto from = static_cast<std::size_t>(first - before->begin());
      // A prototype is short enough to be shown whole.
      return ExportChange{.what = at == name ? "" : in_c(at),
                          .before = excerpt(*before, at == name ? 0 : from),
                          .after = excerpt(*after, at == name ? 0 : from)};
    }
    for (const std::string& word : *before) {
      if (is_type(word) && seen.insert(word).second) {
        open.push_back(word);
      }
    }
  }
  return std::nullopt;
}

}  // namespace suture::patch
