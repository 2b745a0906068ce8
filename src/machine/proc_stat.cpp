// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/proc_stat.h"

#include <sstream>
#include <string>

namespace suture::machine {

namespace {
constexpr unsigned long kernel_thread_flag = 0x00200000;
}

std::optional<ProcStat> parse_stat(std::string_view text) {
  std::size_t at = text.rfind(") ");  // the name before it may hold anything
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  ProcStat stat;
  unsigned long flags = 0;
  std::string skipped;
  std::istringstream fields{std::string(text.substr(at + 2))};
  fields >> stat.state >> skipped >> skipped >> skipped >> stat.terminal >> skipped >> flags;
  for (int field = 10; field < 22; ++field) {
    fields >> skipped;
  }
  fields >> stat.start_time;
  stat.kernel_thread = (flags & kernel_thread_flag) != 0;
  return fields ? std::optional(stat) : std::nullopt;
}

std::optional<ProcStat> read_stat(const Directory& task) {
  std::optional<std::string> text = task.line("stat");
  return text ? parse_stat(*text) : std::nullopt;
}

}  // namespace suture::machine
