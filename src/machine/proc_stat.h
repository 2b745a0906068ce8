// SPDX-License-Identifier: GPL-2.0-or-later
//
// /proc/PID/stat (Documentation/filesystems/proc.rst, proc(5)).
#pragma once

#include <optional>
#include <string_view>

#include "machine/directory.h"

namespace suture::machine {

struct ProcStat {
  char state = '?';                   // R, S, D, T, t, Z, X, I
  int terminal = 0;                   // its controlling terminal; 0 where it has none
  bool kernel_thread = false;         // PF_KTHREAD
  unsigned long long start_time = 0;  // clock ticks after boot: tells processes of one pid apart
};

std::optional<ProcStat> parse_stat(std::string_view text);
std::optional<ProcStat> read_stat(const Directory& task);

}  // namespace suture::machine
