// SPDX-License-Identifier: GPL-2.0
/*
 * Who reads /proc/busy stays in the kernel, and never sleeps, as long as the parameter busy says
 * so.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

static bool busy = true;
module_param(busy, bool, 0644);

static int busy_show(struct seq_file *m, void *v)
{
	while (READ_ONCE(busy))
		cond_resched();
	return 0;
}

static int __init busy_init(void)
{
	return proc_create_single("busy", 0444, NULL, busy_show) ? 0 : -ENOMEM;
}

static void __exit busy_exit(void)
{
	remove_proc_entry("busy", NULL);
}

module_init(busy_init);
module_exit(busy_exit);
MODULE_LICENSE("GPL");
