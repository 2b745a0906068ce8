// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text by lines, and lists that people read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace suture {

// Calls use(line) with every line of `text`, without its newline. A newline at the end of the text
// begins no further line.
template <class Use>
void for_each_line(std::string_view text, const Use& use) {
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    use(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
}

// "a, b and 12 more": the first `most` of a vector of texts.
template <class Texts>
std::string listed(const Texts& texts, std::size_t most) {
  std::string out;
  for (std::size_t i = 0; i < std::min(texts.size(), most); ++i) {
    out += i == 0 ? "" : ", ";
    out += texts[i];
  }
  return texts.size() > most ? out + " and " + std::to_string(texts.size() - most) + " more" : out;
}

}  // namespace suture
