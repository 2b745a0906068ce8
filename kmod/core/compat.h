/* SPDX-License-Identifier: GPL-2.0 */
/* What the supported kernels (6.1 to 7.3) call by different names. */
#ifndef _SUTURE_COMPAT_H
#define _SUTURE_COMPAT_H

#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/hex.h>	/* hex2bin(), which older kernels have in kernel.h */
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)

static inline void suture_module_text(const struct module *mod, unsigned long *start,
				      unsigned long *size)
{
	*start = (unsigned long)mod->mem[MOD_TEXT].base;
	*size = mod->mem[MOD_TEXT].size;
}

#define suture_unregister_direct(ops, address) unregister_ftrace_direct(ops, address, true)
#define suture_register_direct(ops, address) register_ftrace_direct(ops, address)
#define SUTURE_SYMBOL_VISITOR(name, data, symbol, address) \
	int name(void *data, const char *symbol, unsigned long address)

#else

static inline void suture_module_text(const struct module *mod, unsigned long *start,
				      unsigned long *size)
{
	*start = (unsigned long)mod->core_layout.base;
	*size = mod->core_layout.text_size;
}

static inline int suture_unregister_direct(struct ftrace_ops *ops, unsigned long address)
{
	int ret = unregister_ftrace_direct_multi(ops, address);

	if (!ret)
		ftrace_free_filter(ops);
	return ret;
}

#define suture_register_direct(ops, address) register_ftrace_direct_multi(ops, address)
#define SUTURE_SYMBOL_VISITOR(name, data, symbol, address) \
	int name(void *data, const char *symbol, struct module *mod, unsigned long address)

#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define suture_set_ip(fregs, ip) ftrace_regs_set_instruction_pointer(fregs, ip)
#else
#define suture_set_ip(fregs, ip) ftrace_instruction_pointer_set(fregs, ip)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define text_poke_sync smp_text_poke_sync_each_cpu
#endif

/* Workqueues whose work stays on its CPU: the default, until newer kernels want it said. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define SUTURE_WQ_PERCPU WQ_PERCPU
#else
#define SUTURE_WQ_PERCPU 0
#endif

/* Kernels that are never preempted have no RCU of tasks: call_rcu_tasks() is call_rcu() there. */
#ifdef CONFIG_TASKS_RCU
#define suture_barrier_tasks() rcu_barrier_tasks()
#else
#define suture_barrier_tasks() rcu_barrier()
#endif

#endif /* _SUTURE_COMPAT_H */
