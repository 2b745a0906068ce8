// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/core.h"

#include <algorithm>

namespace suture::machine {

const Core& core_of(const module::Metadata& metadata) {
  return metadata.core == module::Core::suture ? suture_core : livepatch_core;
}

std::optional<std::string_view> words_of_a_core(std::string_view line) {
  constexpr std::string_view mark = ": ";
  const std::size_t at = line.find(mark);
  const auto speaks = [&](const Core* core) { return core->name == line.substr(0, at); };
  if (at == std::string_view::npos || std::ranges::none_of(all_cores, speaks)) {
    return std::nullopt;
  }
  return line.substr(at + mark.size());
}

}  // namespace suture::machine
