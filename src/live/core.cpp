// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/core.h"

#include <algorithm>

namespace suture::live {

const Core* core_named(std::string_view name) {
  auto it = std::ranges::find(all_cores, name, [](const Core* core) { return core->name; });
  return it == all_cores.end() ? nullptr : *it;
}

std::optional<std::string_view> words_of_a_core(std::string_view line) {
  constexpr std::string_view mark = ": ";
  const std::size_t at = line.find(mark);
  if (at == std::string_view::npos || core_named(line.substr(0, at)) == nullptr) {
    return std::nullopt;
  }
  return line.substr(at + mark.size());
}

}  // namespace suture::live
