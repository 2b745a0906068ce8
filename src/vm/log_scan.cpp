// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/log_scan.h"

#include <algorithm>
#include <array>

namespace suture::vm {

namespace {

// Where each comes from, in the kernel: kernel/panic.c, lib/bug.c, arch/x86/mm/fault.c,
// arch/x86/kernel/traps.c, kernel/rcu/, kernel/watchdog.c, kernel/hung_task.c, kernel/locking/,
// lib/refcount.c, lib/list_debug.c, mm/, lib/debugobjects.c, kernel/livepatch/.
constexpr std::array<std::string_view, 45> signs = {
    "WARNING: ",
    "BUG: ",
    "kernel BUG at ",
    "Oops: ",
    "Oops - ",
    "Call Trace",
    "Call trace:",
    "Kernel panic",
    "Internal error: ",
    "general protection fault",
    "unable to handle",
    "Unable to handle",
    "invalid opcode: ",
    "double fault",
    "stack segment: ",
    "divide error: ",
    "int3: ",
    "unexpected trap",
    "Bad page ",
    "detected stall",
    "self-detected stall",
    "rcu_preempt kthread starved",
    "rcu_sched kthread starved",
    "soft lockup",
    "hard LOCKUP",
    "hung_task: ",
    " blocked for more than ",
    "INFO: possible ",
    "INFO: suspicious ",
    "suspicious RCU usage",
    "INFO: trying to register non-static key",
    "inconsistent lock state",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "slab-out-of-bounds",
    "use-after-free",
    "stack-protector: ",
    "Kernel stack is corrupted",
    "corrupted stack end",
    "scheduling while atomic",
    "sleeping function called from invalid context",
    "unwind stack type:",
    "ODEBUG: ",
    "UBSAN: ",
};

}  // namespace

// "DEBUG: " is no "BUG: ": a sign starts a word.
bool is_suspicious(std::string_view line) {
  return std::ranges::any_of(signs, [&](std::string_view sign) {
    for (std::size_t at = line.find(sign); at != std::string_view::npos;
         at = line.find(sign, at + 1)) {
      char before = at == 0 ? ' ' : line[at - 1];
      bool inside_word = (before >= 'A' && before <= 'Z') || (before >= 'a' && before <= 'z');
      bool sign_is_word = sign[0] != ' ';
      if (!inside_word || !sign_is_word) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace suture::vm
