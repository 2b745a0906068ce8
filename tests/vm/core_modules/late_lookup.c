// SPDX-License-Identifier: GPL-2.0
/*
 * Stands for an interrupt that comes while a call walks ftrace's list of all ops, and takes long: on
 * the first processor, now and then, the walk stays for 300 ms at an ops that makes a direct call.
 * The parameter `stays` counts them.
 */
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>

static unsigned long stays;
module_param(stays, ulong, 0444);

static unsigned long last;

/* The list's function is what it returns to; who updates ftrace asks, too. */
static bool walks(struct pt_regs *regs)
{
	char name[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(name, *(unsigned long *)regs->sp);
	return strstr(name, "ftrace_ops_list_func");
}

/* ftrace_ops_test(ops, ip, regs) */
static int before_test(struct kprobe *probe, struct pt_regs *regs)
{
	const struct ftrace_ops *ops = (void *)regs->di;

	if (raw_smp_processor_id() || !(ops->flags & FTRACE_OPS_FL_DIRECT) ||
	    time_before(jiffies, last + HZ / 10) || !walks(regs))
		return 0;
	local_irq_enable();
	mdelay(300);
	local_irq_disable();
	last = jiffies;
	stays++;
	return 0;
}

static struct kprobe probe = { .symbol_name = "ftrace_ops_test", .pre_handler = before_test };

static int __init late_lookup_init(void)
{
	last = jiffies;
	return register_kprobe(&probe);
}

static void __exit late_lookup_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(late_lookup_init);
module_exit(late_lookup_exit);
MODULE_LICENSE("GPL");
