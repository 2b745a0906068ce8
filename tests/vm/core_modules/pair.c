// SPDX-License-Identifier: GPL-2.0
/*
 * Something to patch: pair_outer() calls pair_left() and pair_right(), which must change
 * together, and says when they did not. It is called by reads of /proc/pair, and by as many
 * kernel threads, timers (softirqs) and NMIs as the parameters say, and by threads that have just
 * been born. A timer and an NMI make several calls, which are also counted as one, "whole":
 * whether they agree. A read of /proc/pair_apart calls left and right itself, with a sleep in
 * between: that a whole system call sees one side is promised by the lazy model only.
 *
 * /proc/pair has a line for each: its name, how many there were, on the patched side, and mixed.
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
/* So long does a call of theirs take. */
static int thread_us = 20;
module_param(thread_us, int, 0444);
static int timers;
module_param(timers, int, 0444);
static int nmis;
module_param(nmis, int, 0444);
/* A read of /proc/pair sleeps so long inside of pair_left(). */
static int sleep_ms;
module_param(sleep_ms, int, 0644);

/* Between left and right, of /proc/pair_apart. */
static int apart_ms = 5;
module_param(apart_ms, int, 0644);
/* So often is a thread born; it sleeps for half as long inside of pair_left(). 0: none is. */
static int births_ms;
module_param(births_ms, int, 0644);
/* The calls of a timer take so much longer, each. */
static int softirq_us;
module_param(softirq_us, int, 0644);
/* The module's init takes so long. */
static int init_ms;
module_param(init_ms, int, 0444);

enum context { TASK, THREAD, BORN, SOFTIRQ, WHOLE_SOFTIRQ, NMI, WHOLE_NMI, APART, CONTEXTS };
static const char *const names[CONTEXTS] = {
	"task", "thread", "born", "softirq", "whole_softirq", "nmi", "whole_nmi", "apart",
};

static atomic_long_t calls[CONTEXTS], mixed[CONTEXTS], patched[CONTEXTS];

noinline int pair_left(int sleep)
{
	if (sleep > 0)
		msleep_interruptible(sleep);
	else if (sleep < 0)
		udelay(-sleep);
	return 1;
}
EXPORT_SYMBOL_GPL(pair_left);

noinline int pair_right(int unused)
{
	return 1;
}
EXPORT_SYMBOL_GPL(pair_right);

/* Its version, where left and right are of the same one. */
noinline int pair_outer(int sleep)
{
	int left = pair_left(sleep);
	int right = pair_right(0);

	return left == 1 && right == 1 ? 1 : -1;
}
EXPORT_SYMBOL_GPL(pair_outer);

static void count(enum context context, int version)
{
	atomic_long_inc(&calls[context]);
	if (version < 0)
		atomic_long_inc(&mixed[context]);
	if (version == 2)
		atomic_long_inc(&patched[context]);
}

static void count_whole(enum context single, enum context whole, int calls, int sleep)
{
	int first = pair_outer(sleep), agree = first;
	int i;

	count(single, first);
	for (i = 1; i < calls; i++) {
		int version = pair_outer(sleep);

		count(single, version);
		if (version != first)
			agree = -1;
	}
	count(whole, agree);
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
	msleep_interruptible(READ_ONCE(apart_ms));
	right = pair_right(0);
	count(APART, left == right ? left : -1);
	seq_printf(m, "%d %d\n", left, right);
	return 0;
}

/* It sleeps now and then: ftrace waits for each task to do so when it gives up a trampoline. */
static int run_thread(void *unused)
{
	unsigned int rounds = 0;

	while (!kthread_should_stop()) {
		count(THREAD, pair_outer(-thread_us));
		if (!(++rounds % 256))
			msleep(1);
		cond_resched();
	}
	return 0;
}

static int run_born(void *unused)
{
	count(BORN, pair_outer(READ_ONCE(births_ms) / 2));
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 0;
}

static int run_midwife(void *unused)
{
	struct task_struct *born;

	while (!kthread_should_stop()) {
		int pause = READ_ONCE(births_ms);

		born = pause ? kthread_run(run_born, NULL, "pair/born") : NULL;
		msleep(pause ?: 20);
		if (!IS_ERR_OR_NULL(born))
			kthread_stop(born);
	}
	return 0;
}

#define MOST 8
static struct task_struct *running[MOST];
static struct timer_list timer[MOST];

static void on_timer(struct timer_list *it)
{
	count_whole(SOFTIRQ, WHOLE_SOFTIRQ, 32, -READ_ONCE(softirq_us));
	mod_timer(it, jiffies + 1);
}

static bool take_nmis;

static int on_nmi(unsigned int command, struct pt_regs *regs)
{
	if (!READ_ONCE(take_nmis))
		return NMI_DONE;
	count_whole(NMI, WHOLE_NMI, 8, 0);
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

static struct task_struct *nmi_sender, *midwife;

static int __init pair_init(void)
{
	int i;

	threads = min(threads, MOST);
	timers = min(timers, MOST);
	if (!proc_create_single("pair", 0444, NULL, pair_show) ||
	    !proc_create_single("pair_apart", 0444, NULL, apart_show))
		return -ENOMEM;
	msleep(init_ms);
	midwife = kthread_run(run_midwife, NULL, "pair/midwife");
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
	kthread_stop(midwife);
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
