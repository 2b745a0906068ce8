// SPDX-License-Identifier: GPL-2.0
/*
 * The stop model (Ksplice, kpatch): the machine stands still, no task is inside of what is left,
 * and all callers switch at once.
 *
 * Problem: the machine must not stand still for long, and looking at thousands of stacks takes
 * long.
 *
 * Method: the stacks are looked at before, while everything runs, and for each task it is noted
 * how often the scheduler had taken it off a CPU by then. In the stop only those whose count has
 * changed are looked at again: each task but the stoppers is off the CPU then, so one that ran in
 * between has been counted. Where the first look already finds a task inside, the machine is not
 * stopped at all. Busy functions are tried again after growing pauses, and then given up.
 *
 * Invariants: a side belongs to a CPU and is written by that CPU alone, with one store, so that
 * an NMI sees one world; no CPU leaves the stop before all have written theirs. Until then
 * nothing has changed. Guarantee and proof: docs/consistency.md.
 */
#include <linux/delay.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>

#include "core.h"
#include "kernel_symbols.h"

#define TRIES 12
#define FIRST_PAUSE_MS 5
#define LONGEST_PAUSE_MS 500
#define MAX_BUSY 16

/* A task as it was found before the stop. */
struct seen {
	struct task_struct *task;	/* held */
	unsigned long switches;
	bool outside;
};

struct busy_task {
	pid_t pid;
	char comm[TASK_COMM_LEN];
	const char *where;
};

enum verdict { UNDECIDED, ALL_OUTSIDE, SOME_INSIDE };

struct stop {
	struct seen *seen;		/* in the order of the task list */
	size_t count;
	size_t next;			/* the one that the walk expects */
	atomic_t arrived;
	enum verdict verdict;
};

static DEFINE_PER_CPU(bool, cpu_side);

/* Who was in the way, of the patch that was tried last. */
static struct busy_task busy[MAX_BUSY];
static size_t nr_busy;
static struct suture_live *busy_live;

static bool patched_side(void)
{
	return this_cpu_read(cpu_side);
}

static int begin(bool patched)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(cpu_side, cpu) = patched;
	return 0;
}

static unsigned long switches_of(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

static void note_busy(const struct task_struct *task, const struct suture_range *where)
{
	size_t i;

	for (i = 0; i < nr_busy; i++)
		if (busy[i].pid == task->pid)
			return;
	if (nr_busy == MAX_BUSY)
		return;
	busy[nr_busy].pid = task->pid;
	memcpy(busy[nr_busy].comm, task->comm, TASK_COMM_LEN);
	busy[nr_busy].comm[TASK_COMM_LEN - 1] = 0;
	busy[nr_busy++].where = where->name;
}

/* A task that runs is left to the stop. */
static void see_task(struct stop *stop, struct task_struct *task)
{
	struct seen *seen = &stop->seen[stop->count++];
	const struct suture_range *where = NULL;

	seen->task = get_task_struct(task);
	seen->switches = switches_of(task);
	/* The count before the stack: who runs and stops again meanwhile has another one. */
	smp_rmb();
	seen->outside = !suture_task_check(task, &suture_transition.ranges, &where);
	if (where)
		note_busy(task, where);
}

static int see_tasks(struct stop *stop)
{
	struct task_struct *process, *task;
	size_t room = 256;

	rcu_read_lock();
	for_each_process_thread(process, task)
		room++;
	rcu_read_unlock();
	stop->seen = kvmalloc_array(room, sizeof(*stop->seen), GFP_KERNEL);
	if (!stop->seen)
		return -ENOMEM;
	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (stop->count == room)
			goto full;
		see_task(stop, task);
	}
full:
	rcu_read_unlock();
	return 0;
}

static void forget_tasks(struct stop *stop)
{
	size_t i;

	for (i = 0; i < stop->count; i++)
		put_task_struct(stop->seen[i].task);
	kvfree(stop->seen);
}

/* New tasks stand behind those that were there; some may have gone. */
static const struct seen *recall(struct stop *stop, const struct task_struct *task)
{
	size_t i, last = min(stop->next + 64, stop->count);

	for (i = stop->next; i < last; i++) {
		if (stop->seen[i].task == task) {
			stop->next = i + 1;
			return &stop->seen[i];
		}
	}
	return NULL;
}

static bool stands_outside(struct stop *stop, struct task_struct *task)
{
	const struct seen *seen = recall(stop, task);
	const struct suture_range *where;

	if (seen && seen->outside && seen->switches == switches_of(task))
		return true;
	/* The stoppers: each is where this one is. */
	if (READ_ONCE(task->on_cpu) && task != current)
		return true;
	where = suture_task_inside(task, &suture_transition.ranges);
	if (where)
		note_busy(task, where);
	return !where;
}

static bool all_outside(struct stop *stop)
{
	struct task_struct *process, *task;
	bool all = true;
	int cpu;

	rcu_read_lock();
	for_each_process_thread(process, task)
		all = stands_outside(stop, task) && all;
	rcu_read_unlock();
	for_each_online_cpu(cpu) {
		const struct suture_range *where;

		task = static_call(suture_idle_task)(cpu);
		where = suture_task_inside(task, &suture_transition.ranges);
		if (where)
			note_busy(task, where);
		all = all && !where;
	}
	return all;
}

/* By all CPUs at once, with interrupts off; the first to come decides. */
static int stop_cpu(void *argument)
{
	struct stop *stop = argument;
	enum verdict verdict;
	int cpu;

	if (!atomic_fetch_inc(&stop->arrived)) {
		verdict = all_outside(stop) ? ALL_OUTSIDE : SOME_INSIDE;
		for_each_possible_cpu(cpu)
			if (!cpu_online(cpu) && verdict == ALL_OUTSIDE)
				per_cpu(cpu_side, cpu) = suture_transition.to_patched;
		/* The verdict after all that led to it; pairs with the others' loads. */
		smp_store_release(&stop->verdict, verdict);
	} else {
		/* Pairs with the store by the one that decides. */
		while ((verdict = smp_load_acquire(&stop->verdict)) == UNDECIDED)
			cpu_relax();
	}
	if (verdict == ALL_OUTSIDE)
		this_cpu_write(cpu_side, suture_transition.to_patched);
	return 0;
}

/* 0: all have switched. */
static int try_once(void)
{
	struct stop stop = { .verdict = UNDECIDED };
	u64 began;
	int ret;

	nr_busy = 0;
	ret = see_tasks(&stop);
	if (ret)
		return ret;
	if (nr_busy) {
		ret = -EBUSY;
		goto out;
	}
	began = ktime_get_ns();
	ret = stop_machine(stop_cpu, &stop, cpu_online_mask);
	suture_transition.live->pause_ns = max(suture_transition.live->pause_ns,
					       ktime_get_ns() - began);
	if (!ret && stop.verdict != ALL_OUTSIDE)
		ret = -EBUSY;
out:
	forget_tasks(&stop);
	return ret;
}

static void log_busy(void)
{
	size_t i;

	pr_err("'%s': its functions stayed busy\n", suture_name(suture_transition.live));
	for (i = 0; i < nr_busy; i++)
		pr_err("'%s': %s/%d is inside %s\n", suture_name(suture_transition.live),
		       busy[i].comm, busy[i].pid, busy[i].where);
}

static int start(void)
{
	unsigned int pause = FIRST_PAUSE_MS;
	int tries, ret;

	suture_transition.live->pause_ns = 0;
	busy_live = NULL;
	for (tries = 0; tries < TRIES; tries++) {
		if (tries) {
			msleep(pause);
			pause = min(2 * pause, (unsigned int)LONGEST_PAUSE_MS);
		}
		ret = try_once();
		if (ret != -EBUSY)
			return ret;
	}
	busy_live = suture_transition.live;
	log_busy();
	return ret;
}

static bool finished(void)
{
	return true;
}

static void end(void)
{
}

ssize_t suture_stop_blocking(struct suture_live *live, char *page)
{
	size_t count = busy_live == live ? nr_busy : 0;
	ssize_t length = sysfs_emit(page, "%zu\n", count);
	size_t i;

	for (i = 0; i < count; i++)
		length += sysfs_emit_at(page, length, "%d %s\n", busy[i].pid, busy[i].where);
	return length;
}

const struct suture_model suture_stop_model = {
	.name = "stop",
	.patched_side = patched_side,
	.begin = begin,
	.start = start,
	.finished = finished,
	.end = end,
};
