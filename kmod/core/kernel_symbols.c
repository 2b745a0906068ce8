// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: the core calls functions that the kernel keeps to itself.
 *
 * Method: a kprobe that is registered by name says where kallsyms_lookup_name() is, and that
 * finds the others. The kprobe may stand behind an instruction that marks the target of indirect
 * calls, so its address is taken back to the start of the function that it lies in.
 */
#include <linux/kprobes.h>
#include <linux/string.h>

#include "kernel_symbols.h"
#include "log.h"

DEFINE_STATIC_CALL_NULL(suture_kallsyms_lookup_name, kallsyms_lookup_name);
DEFINE_STATIC_CALL_NULL(suture_kallsyms_on_each_symbol, kallsyms_on_each_symbol);
DEFINE_STATIC_CALL_NULL(suture_module_kallsyms_on_each_symbol, module_kallsyms_on_each_symbol);
DEFINE_STATIC_CALL_NULL(suture_find_module, find_module);
DEFINE_STATIC_CALL_NULL(suture_task_call_func, task_call_func);
DEFINE_STATIC_CALL_NULL(suture_stack_trace_save_tsk_reliable, stack_trace_save_tsk_reliable);
DEFINE_STATIC_CALL_NULL(suture_ftrace_location, ftrace_location);
DEFINE_STATIC_CALL_NULL(suture_get_kprobe, get_kprobe);
DEFINE_STATIC_CALL_NULL(suture_wake_up_state, wake_up_state);
DEFINE_STATIC_CALL_NULL(suture_put_task_stack, put_task_stack);
DEFINE_STATIC_CALL_NULL(suture_idle_task, idle_task);
DEFINE_STATIC_CALL_NULL(suture_text_poke, text_poke);
DEFINE_STATIC_CALL_NULL(suture_text_poke_sync, text_poke_sync);

const void *suture_notes, *suture_notes_end;
unsigned long suture_text;
rwlock_t *suture_tasklist_lock;
/* The kernel's own, of writes to code. */
struct mutex *suture_text_mutex;
struct klp_patch **suture_klp_transition_patch;

unsigned long suture_vmlinux_symbol(const char *name)
{
	return static_call(suture_kallsyms_lookup_name)(name);
}

static unsigned long address_of_lookup(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	char where[KSYM_SYMBOL_LEN];
	unsigned long address;
	char *offset;
	unsigned long distance = 0;

	if (register_kprobe(&probe))
		return 0;
	address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	sprint_symbol(where, address);
	offset = strchr(where, '+');
	if (!offset || sscanf(offset, "+%lx", &distance) != 1)
		return 0;
	return address - distance;
}

#define FIND(function)								\
	do {									\
		unsigned long address = suture_vmlinux_symbol(__stringify(function)); \
										\
		if (!address) {							\
			pr_err("this kernel has no %s\n", __stringify(function)); \
			return -EOPNOTSUPP;					\
		}								\
		static_call_update(suture_##function, (typeof(function) *)address);	\
	} while (0)

int suture_find_kernel_symbols(void)
{
	unsigned long lookup = address_of_lookup();

	if (!lookup) {
		pr_err("no kprobe can be put on kallsyms_lookup_name, so nothing is found\n");
		return -EOPNOTSUPP;
	}
	static_call_update(suture_kallsyms_lookup_name, (typeof(kallsyms_lookup_name) *)lookup);
	FIND(kallsyms_on_each_symbol);
	FIND(module_kallsyms_on_each_symbol);
	FIND(find_module);
	FIND(task_call_func);
	FIND(stack_trace_save_tsk_reliable);
	FIND(ftrace_location);
	FIND(get_kprobe);
	FIND(wake_up_state);
	FIND(put_task_stack);
	FIND(idle_task);
	FIND(text_poke);
	FIND(text_poke_sync);
	suture_text = suture_vmlinux_symbol("_text");
	suture_notes = (const void *)suture_vmlinux_symbol("__start_notes");
	suture_notes_end = (const void *)suture_vmlinux_symbol("__stop_notes");
	suture_tasklist_lock = (rwlock_t *)suture_vmlinux_symbol("tasklist_lock");
	suture_text_mutex = (struct mutex *)suture_vmlinux_symbol("text_mutex");
	suture_klp_transition_patch =
		(struct klp_patch **)suture_vmlinux_symbol("klp_transition_patch");
	if (!suture_text || !suture_tasklist_lock || !suture_text_mutex) {
		pr_err("this kernel has no _text, tasklist_lock or text_mutex\n");
		return -EOPNOTSUPP;
	}
	return 0;
}
