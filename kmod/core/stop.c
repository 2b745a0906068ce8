// SPDX-License-Identifier: GPL-2.0
/*
 * The stop model (Ksplice, kpatch): the machine stands still, no task is inside of what is left,
 * and all callers switch at once.
 *
 * Problem: the machine must not stand still for long, and looking at thousands of stacks takes
 * long.
 *
 * Method: the stacks are looked at before, while everything runs. From before that on a probe of
 * sched_switch notes each task that leaves a CPU. A stack only changes while its task runs, and in
 * the stop every task but the stoppers has left its CPU: so those that were noted are all that have
 * to be looked at again, and the stop does not grow with the number of tasks. Where the first look
 * already finds a task inside, the machine is not stopped at all. Busy functions are tried again
 * after growing pauses, and then given up.
 *
 * Invariants: a side belongs to a CPU and is written by that CPU alone, with one store, so that an
 * NMI sees one world; no CPU leaves the stop before all have written theirs. Until then nothing has
 * changed. Guarantee and proof: docs/consistency.md.
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/tracepoint.h>

#include "core.h"
#include "kernel_symbols.h"

#define TRIES 12
#define FIRST_PAUSE_MS 5
#define LONGEST_PAUSE_MS 500
#define MAX_BUSY 16
/* Of notes: at most as many tasks as this power of two, at first. */
#define FIRST_BITS 10

struct busy_task {
	pid_t pid;
	char comm[TASK_COMM_LEN];
	char where[KSYM_NAME_LEN];	/* a copy: the module that it lies in may go */
};

/*
 * Tasks that have left a CPU, each once, held. Whether one is among them is told by a table that
 * is hashed by the task, and not by a mark on it, which would outlive the try.
 */
struct notes {
	unsigned int bits;
	struct task_struct **task;
	struct task_struct **slot;	/* twice as many as fit; NULL: free */
	atomic_long_t count;
	bool full;			/* not all of them are there */
};

enum verdict { UNDECIDED, ALL_OUTSIDE, SOME_INSIDE };

struct stop {
	struct notes *notes;
	atomic_t arrived;
	enum verdict verdict;
};

static DEFINE_PER_CPU(bool, cpu_side);

/* Who was in the way, of the patch that was tried last; NULL: nobody, or it is gone. */
static struct busy_task busy[MAX_BUSY];
static size_t nr_busy;
static struct suture_live *busy_live;

static bool notrace patched_side(void)
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
	strscpy(busy[nr_busy++].where, where->name, KSYM_NAME_LEN);
}

/* With the CPU's runqueue locked. */
static void on_switch(void *argument, bool preempt, struct task_struct *prev,
		      struct task_struct *next, unsigned int prev_state)
{
	struct notes *notes = argument;
	size_t mask = (2UL << notes->bits) - 1;
	size_t i = hash_ptr(prev, notes->bits + 1);
	struct task_struct *there;

	for (;; i = (i + 1) & mask) {
		there = READ_ONCE(notes->slot[i]);
		if (there == prev)
			return;
		if (there)
			continue;
		/* Each CPU may still add one: the slots that are left over are more than CPUs. */
		if (atomic_long_read(&notes->count) >> notes->bits) {
			WRITE_ONCE(notes->full, true);
			return;
		}
		/* No other CPU leaves this task, but one may take the slot. */
		if (!cmpxchg(&notes->slot[i], NULL, prev))
			break;
	}
	notes->task[atomic_long_inc_return(&notes->count) - 1] = get_task_struct(prev);
}

static size_t noted(const struct notes *notes)
{
	return atomic_long_read(&notes->count);
}

static void free_notes(struct notes *notes)
{
	kvfree(notes->task);
	kvfree(notes->slot);
}

static int begin_notes(struct notes *notes)
{
	size_t slots = 2UL << notes->bits;
	int ret = -ENOMEM;

	notes->task = kvcalloc(slots, sizeof(*notes->task), GFP_KERNEL);
	notes->slot = kvcalloc(slots, sizeof(*notes->slot), GFP_KERNEL);
	if (notes->task && notes->slot)
		ret = tracepoint_probe_register(suture_sched_switch, on_switch, notes);
	if (ret) {
		free_notes(notes);
		return ret;
	}
	/* Each CPU has left a task with the probe in place before any stack is looked at. */
	suture_synchronize();
	return 0;
}

static void end_notes(struct notes *notes)
{
	size_t i;

	tracepoint_probe_unregister(suture_sched_switch, on_switch, notes);
	tracepoint_synchronize_unregister();
	for (i = 0; i < noted(notes); i++)
		put_task_struct(notes->task[i]);
	free_notes(notes);
}

/* A task that runs is noted when it stops. */
static void look_before(struct task_struct *task, void *unused)
{
	const struct suture_range *where = NULL;

	suture_task_check(task, &suture_transition.ranges, &where, NULL);
	if (where)
		note_busy(task, where);
}

/* In the stop. A task that is on a CPU is a stopper, which is where this one is. */
static bool all_outside(const struct notes *notes)
{
	const struct suture_range *where;
	struct task_struct *task;
	bool all = !READ_ONCE(notes->full);
	size_t i;

	for (i = 0; i < noted(notes); i++) {
		task = notes->task[i];
		if (READ_ONCE(task->on_cpu) && task != current)
			continue;
		where = suture_task_inside(task, &suture_transition.ranges);
		if (where)
			note_busy(task, where);
		all = all && !where;
	}
	return all && !suture_task_inside(current, &suture_transition.ranges);
}

/* By all CPUs at once, with interrupts off; the first to come decides. */
static int stop_cpu(void *argument)
{
	struct stop *stop = argument;
	enum verdict verdict;
	int cpu;

	if (!atomic_fetch_inc(&stop->arrived)) {
		verdict = all_outside(stop->notes) ? ALL_OUTSIDE : SOME_INSIDE;
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

/* 0: all have switched. -EAGAIN: more tasks left a CPU than so many bits count. */
static int try_once(unsigned int bits)
{
	struct notes notes = { .bits = bits };
	struct stop stop = { .verdict = UNDECIDED, .notes = &notes };
	u64 began;
	int ret;

	nr_busy = 0;
	ret = begin_notes(&notes);
	if (ret)
		return ret;
	suture_look_at_tasks(look_before, NULL);
	if (nr_busy) {
		ret = -EBUSY;
		goto out;
	}
	began = ktime_get_ns();
	ret = stop_machine(stop_cpu, &stop, cpu_online_mask);
	suture_transition.live->pause_ns = max(suture_transition.live->pause_ns,
					       ktime_get_ns() - began);
	if (!ret && stop.verdict != ALL_OUTSIDE)
		ret = notes.full && !nr_busy ? -EAGAIN : -EBUSY;
out:
	end_notes(&notes);
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
	/* More than there are CPUs: see on_switch(). */
	unsigned int bits = max(FIRST_BITS, order_base_2(nr_cpu_ids + 1));
	unsigned int pause = FIRST_PAUSE_MS;
	int tries, ret;

	suture_transition.live->pause_ns = 0;
	busy_live = NULL;
	for (tries = 0; tries < TRIES; tries++) {
		if (tries) {
			msleep(pause);
			pause = min(2 * pause, (unsigned int)LONGEST_PAUSE_MS);
		}
		while ((ret = try_once(bits)) == -EAGAIN)
			bits++;
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

void suture_stop_forget(const struct suture_live *live)
{
	if (busy_live == live)
		busy_live = NULL;
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
