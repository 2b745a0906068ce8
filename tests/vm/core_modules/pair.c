// SPDX-License-Identifier: GPL-2.0
/*
 * Something to patch: pair_outer() calls pair_left() and pair_right(), which must change
 * together, and counts when they did not. It is called from reads of /proc/pair, and by as many
 * kernel threads, timers (softirqs) and NMIs as the parameters say. A read of /proc/pair_apart
 * calls left and right itself, with a sleep between them: that a whole system call sees one side
 * only lazy promises.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/timer.h>
#include <asm/apic.h>
#include <asm/nmi.h>

#include "pair.h"

static int threads;
module_param(threads, int, 0444);
static int timers;
module_param(timers, int, 0444);
static int nmis;
module_param(nmis, int, 0444);
/* A read of /proc/pair sleeps so long inside of pair_left(). */
static int sleep_ms;
module_param(sleep_ms, int, 0644);

enum context { TASK, THREAD, SOFTIRQ, NMI, APART, CONTEXTS };
static const char *const names[CONTEXTS] = { "task", "thread", "softirq", "nmi", "apart" };
static atomic_long_t calls[CONTEXTS], mixed[CONTEXTS], patched[CONTEXTS];

noinline int pair_left(int sleep)
{
	if (sleep)
		msleep_interruptible(sleep);
	return 1;
}

noinline int pair_right(int unused)
{
	return unused ? 1 : 1 + !!unused;
}

/* The versions that left and right say they are; 10 and 1 apart from what the caller is. */
noinline int pair_outer(int sleep)
{
	int left = pair_left(sleep);
	int right = pair_right(0);

	return left == 1 && right == 1 ? 1 : -1;
}

static void count(enum context context, int version)
{
	atomic_long_inc(&calls[context]);
	if (version < 0)
		atomic_long_inc(&mixed[context]);
	if (version == 2)
		atomic_long_inc(&patched[context]);
}

static int pair_show(struct seq_file *m, void *v)
{
	int i;

	count(TASK, pair_outer(READ_ONCE(sleep_ms)));
	for (i = 0; i < CONTEXTS; i++)
		seq_printf(m, "%s %ld %ld %ld\n", names[i], atomic_long_read(&calls[i]),
			   atomic_long_read(&patched[i]), atomic_long_read(&mixed[i]));
	return 0;
}

static int apart_show(struct seq_file *m, void *v)
{
	int left, right;

	left = pair_left(0);
	msleep(5);
	right = pair_right(0);
	count(APART, left == right ? left : -1);
	seq_printf(m, "%d %d\n", left, right);
	return 0;
}

static int run_thread(void *unused)
{
	while (!kthread_should_stop()) {
		count(THREAD, pair_outer(0));
		if (!(atomic_long_read(&calls[THREAD]) % 1024))
			msleep(1);
		cond_resched();
	}
	return 0;
}

#define MOST 8
static struct task_struct *running[MOST];
static struct timer_list timer[MOST];

static void on_timer(struct timer_list *it)
{
	int i;

	for (i = 0; i < 32; i++)
		count(SOFTIRQ, pair_outer(0));
	mod_timer(it, jiffies + 1);
}

static bool take_nmis;

static int on_nmi(unsigned int command, struct pt_regs *regs)
{
	if (!READ_ONCE(take_nmis))
		return NMI_DONE;
	count(NMI, pair_outer(0));
	return NMI_HANDLED;
}

static int send_nmis(void *unused)
{
	while (!kthread_should_stop()) {
		int cpu = get_cpu();
		int other = cpumask_next_wrap(cpu, cpu_online_mask, cpu, false);

		if (other < nr_cpu_ids && other != cpu)
			apic->send_IPI(other, NMI_VECTOR);
		put_cpu();
		usleep_range(500, 1000);
	}
	return 0;
}

static struct task_struct *nmi_sender;

static int __init pair_init(void)
{
	int i;

	threads = min(threads, MOST);
	timers = min(timers, MOST);
	if (!proc_create_single("pair", 0444, NULL, pair_show) ||
	    !proc_create_single("pair_apart", 0444, NULL, apart_show))
		return -ENOMEM;
	for (i = 0; i < threads; i++)
		running[i] = kthread_run(run_thread, NULL, "pair/%d", i);
	for (i = 0; i < timers; i++) {
		timer_setup(&timer[i], on_timer, TIMER_PINNED);
		timer[i].expires = jiffies + 1;
		add_timer_on(&timer[i], i % num_online_cpus());
	}
	if (nmis) {
		take_nmis = true;
		if (register_nmi_handler(NMI_LOCAL, on_nmi, 0, "pair"))
			return -EBUSY;
		nmi_sender = kthread_run(send_nmis, NULL, "pair/nmi");
	}
	return 0;
}

static void __exit pair_exit(void)
{
	int i;

	if (nmi_sender) {
		kthread_stop(nmi_sender);
		msleep(20);
		unregister_nmi_handler(NMI_LOCAL, "pair");
	}
	for (i = 0; i < timers; i++)
		del_timer_sync(&timer[i]);
	for (i = 0; i < threads; i++)
		kthread_stop(running[i]);
	remove_proc_entry("pair", NULL);
	remove_proc_entry("pair_apart", NULL);
}

module_init(pair_init);
module_exit(pair_exit);
MODULE_LICENSE("GPL");
