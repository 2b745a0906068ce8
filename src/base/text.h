// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text by lines.
#pragma once

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

}  // namespace suture
