// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/ftrace_uses.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace suture::machine {

namespace {

// "klp_ftrace_handler+0x0/0x1a0 [suture]" → "klp_ftrace_handler [suture]".
std::string without_offset(std::string_view text) {
  const std::size_t plus = text.find('+');
  if (plus == std::string_view::npos) {
    return std::string(text);
  }
  const std::size_t blank = text.find(' ', plus);
  return std::string(text.substr(0, plus)) +
         std::string(blank == std::string_view::npos ? std::string_view{} : text.substr(blank));
}

// "vfs_read [MODULE] (1) R I D \ttramp: 0xffff (handler+0x0/0x1) ->...": the flags are between the
// count and a tab.
std::optional<FtraceUse> parse_line(std::string_view line) {
  const std::size_t count = line.find(" (");
  const std::size_t count_end = line.find(')', count);
  if (count == std::string_view::npos || count_end == std::string_view::npos) {
    return std::nullopt;
  }
  FtraceUse use{.function = std::string(line.substr(0, line.find(' ')))};
  const std::string_view before = line.substr(0, count);
  const std::size_t open = before.find('[');
  if (open != std::string_view::npos) {
    use.module = before.substr(open + 1, before.find(']') - open - 1);
  }
  std::from_chars(line.data() + count + 2, line.data() + count_end, use.users);
  const std::size_t tab = std::min(line.find('\t', count_end), line.size());
  const std::string_view flags = line.substr(count_end + 1, tab - count_end - 1);
  use.redirects = flags.contains('I');
  use.direct = flags.contains('D');
  const std::string_view rest = line.substr(tab);
  const std::size_t callback = rest.find('(');
  if (rest.starts_with("\ttramp:") && callback != std::string_view::npos) {
    use.callback =
        without_offset(rest.substr(callback + 1, rest.find(')', callback) - callback - 1));
  }
  return use;
}

}  // namespace

std::vector<FtraceUse> parse_ftrace_uses(std::string_view text) {
  constexpr std::string_view arrow = "-->";
  std::vector<FtraceUse> out;
  for_each_line(text, [&](std::string_view line) {
    if (!line.starts_with('\t')) {
      if (auto use = parse_line(line)) {
        out.push_back(std::move(*use));
      }
      return;
    }
    // What belongs to the function above.
    const std::size_t at = line.find(arrow);
    if (!out.empty() && line.contains("direct") && at != std::string_view::npos) {
      out.back().target = without_offset(line.substr(at + arrow.size()));
    }
  });
  return out;
}

std::optional<std::vector<FtraceUse>> ftrace_uses(const Machine& machine) {
  auto text = read_text(tracing_directory(machine) / "enabled_functions");
  return text ? std::optional(parse_ftrace_uses(*text)) : std::nullopt;
}

fs::path tracing_directory(const Machine& machine) {
  for (const char* place : {"kernel/tracing", "kernel/debug/tracing"}) {
    std::error_code ec;
    if (fs::exists(machine.sys / place / "available_filter_functions", ec)) {
      return machine.sys / place;
    }
  }
  return {};
}

}  // namespace suture::machine
