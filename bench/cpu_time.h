// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <ctime>

// What this process has used so far, in milliseconds.
inline double cpu_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}
