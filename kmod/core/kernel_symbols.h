/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the core needs of the kernel beyond its exports. Functions are reached by static calls,
 * which are direct ones where the architecture has them: under IBT an indirect call to a function
 * whose address the kernel never takes would fault.
 */
#ifndef _SUTURE_KERNEL_SYMBOLS_H
#define _SUTURE_KERNEL_SYMBOLS_H

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/wait.h>
#include <asm/text-patching.h>

#include "compat.h"

struct klp_patch;

DECLARE_STATIC_CALL(suture_kallsyms_lookup_name, kallsyms_lookup_name);
DECLARE_STATIC_CALL(suture_kallsyms_on_each_symbol, kallsyms_on_each_symbol);
DECLARE_STATIC_CALL(suture_module_kallsyms_on_each_symbol, module_kallsyms_on_each_symbol);
DECLARE_STATIC_CALL(suture_find_module, find_module);
DECLARE_STATIC_CALL(suture_task_call_func, task_call_func);
DECLARE_STATIC_CALL(suture_stack_trace_save_tsk_reliable, stack_trace_save_tsk_reliable);
DECLARE_STATIC_CALL(suture_ftrace_location, ftrace_location);
DECLARE_STATIC_CALL(suture_get_kprobe, get_kprobe);
DECLARE_STATIC_CALL(suture_wake_up_state, wake_up_state);
DECLARE_STATIC_CALL(suture_put_task_stack, put_task_stack);
DECLARE_STATIC_CALL(suture_idle_task, idle_task);
DECLARE_STATIC_CALL(suture_text_poke, text_poke);
DECLARE_STATIC_CALL(suture_text_poke_sync, text_poke_sync);

/* Of the image; NULL, both: it has none. */
extern const void *suture_notes, *suture_notes_end;
extern unsigned long suture_text;	/* where _text is, and so how far the kernel has moved */
extern rwlock_t *suture_tasklist_lock;
extern struct mutex *suture_text_mutex;
extern struct klp_patch **suture_klp_transition_patch;	/* NULL: no livepatch in this kernel */

int suture_find_kernel_symbols(void);
/* 0 where vmlinux has no symbol of that name. */
unsigned long suture_vmlinux_symbol(const char *name);

#endif /* _SUTURE_KERNEL_SYMBOLS_H */
