// SPDX-License-Identifier: GPL-2.0
/* Somebody else who changes where calls of pair_right() go, though only to where they went. */
#include <linux/ftrace.h>
#include <linux/module.h>

static void notrace on_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    struct ftrace_regs *fregs)
{
}

static struct ftrace_ops ops = { .func = on_call, .flags = FTRACE_OPS_FL_IPMODIFY };

static int __init taken_init(void)
{
	static unsigned char name[] = "pair_right";
	int ret = ftrace_set_filter(&ops, name, sizeof(name) - 1, 1);

	return ret ?: register_ftrace_function(&ops);
}

static void __exit taken_exit(void)
{
	WARN_ON(unregister_ftrace_function(&ops));
}

module_init(taken_init);
module_exit(taken_exit);
MODULE_LICENSE("GPL");
