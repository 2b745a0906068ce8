// SPDX-License-Identifier: GPL-2.0
/*
 * Stands for an interrupt that comes while a call walks ftrace's list of all ops, and takes long: on
 * the first processor, now and then, a call of pair_outer() stays for 300 ms at an ops of that
 * function alone, when it has read it from the list and has not called it yet. The parameter `at`
 * is what the list's function then asks: whether the ops' filter has the function. `stays` counts.
 */
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>

#include "pair.h"

static char *at;
module_param(at, charp, 0444);
static unsigned long stays;
module_param(stays, ulong, 0444);

/* kernel/trace/trace.h */
struct ftrace_hash {
	unsigned long size_bits;
	struct hlist_head *buckets;
	unsigned long count;
};

static unsigned long last;

/* The list's function is what it returns to; who updates ftrace asks, too. */
static bool walks(struct pt_regs *regs)
{
	char name[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(name, *(unsigned long *)regs->sp);
	return strstr(name, "ftrace_ops_list_func");
}

/* hash_contains_ip(ip, notrace, filter), of which the compiler has passed the parts. */
static int before_test(struct kprobe *probe, struct pt_regs *regs)
{
	const struct ftrace_hash *filter = (void *)regs->dx;

	if (regs->di != (unsigned long)pair_outer || raw_smp_processor_id() ||
	    time_before(jiffies, last + HZ / 10) || !filter || filter->count != 1 || !walks(regs))
		return 0;
	local_irq_enable();
	mdelay(300);
	local_irq_disable();
	last = jiffies;
	stays++;
	return 0;
}

static struct kprobe probe = { .pre_handler = before_test };

static int __init slow_walk_init(void)
{
	last = jiffies;
	probe.symbol_name = at;
	return register_kprobe(&probe);
}

static void __exit slow_walk_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(slow_walk_init);
module_exit(slow_walk_exit);
MODULE_LICENSE("GPL");
