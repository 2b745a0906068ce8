// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which functions ftrace calls somebody for, as it tells itself: the file enabled_functions
// (Documentation/trace/ftrace.rst; kernel/trace/ftrace.c, t_show).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/sysfs.h"

namespace suture::machine {

struct FtraceUse {
  std::string function;
  std::string module;      // empty: vmlinux
  long users = 0;          // how many are called for it
  bool redirects = false;  // one of them may lead elsewhere (IPMODIFY): I
  bool direct = false;     // the entry calls somebody directly: D
  std::string callback;    // who is called, where it is only one: "klp_ftrace_handler"
  std::string target;      // of a direct call: "bpf_trampoline_6442467823_1", "thunk [fix]"
};

// Nothing for a line that is none.
std::vector<FtraceUse> parse_ftrace_uses(std::string_view text);
// Nothing where it cannot be read.
std::optional<std::vector<FtraceUse>> ftrace_uses(const Machine& machine);

// "kernel/tracing" or its older place below "kernel/debug"; empty where neither is mounted.
fs::path tracing_directory(const Machine& machine);

}  // namespace suture::machine
