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
/* Beside the task's side: it is among the noted ones. */
#define NOTED_FLAG (BITS_PER_LONG - 2)

struct busy_task {
	pid_t pid;
	char comm[TASK_COMM_LEN];
	char where[KSYM_NAME_LEN];	/* a copy: the module that it lies in may go */
};

/* Tasks that have left a CPU, each once, held. */
struct notes {
	struct task_struct **task;
	size_t room;
	atomic_long_t count;		/* more than `room`: not all of them are there */
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
	long i;

	if (test_and_set_bit(NOTED_FLAG, (unsigned long *)&task_thread_info(prev)->flags))
		return;
	i = atomic_long_inc_return(&notes->count) - 1;
	if (i < notes->room)
		notes->task[i] = get_task_struct(prev);
}

static size_t noted(const struct notes *notes)
{
	return min_t(size_t, atomic_long_read(&notes->count), notes->room);
}

static void clear_noted(struct task_struct *task, void *unused)
{
	clear_bit(NOTED_FLAG, (unsigned long *)&task_thread_info(task)->flags);
}

/* Its flags are its parent's, but it has not been noted. */
static void clear_new(void *unused, struct task_struct *task, unsigned long flags)
{
	clear_noted(task, NULL);
}

/* New tasks may be noted, too; where the room does not do, it is tried again. */
static int make_room(struct notes *notes)
{
	struct task_struct *process, *task;

	notes->room = 1024;
	rcu_read_lock();
	for_each_process_thread(process, task)
		notes->room += 2;
	rcu_read_unlock();
	notes->task = kvmalloc_array(notes->room, sizeof(*notes->task), GFP_KERNEL);
	return notes->task ? 0 : -ENOMEM;
}

static int begin_notes(struct notes *notes)
{
	int ret = make_room(notes);

	if (ret)
		return ret;
	ret = suture_watch_forks(clear_new);
	if (ret)
		goto no_forks;
	suture_visit_tasks(clear_noted, NULL);
	ret = tracepoint_probe_register(suture_sched_switch, on_switch, notes);
	if (ret)
		goto no_switches;
	/* Each CPU has left a task with the probe in place before any stack is looked at. */
	suture_synchronize();
	return 0;
no_switches:
	suture_forget_forks(clear_new);
no_forks:
	kvfree(notes->task);
	return ret;
}

static void end_notes(struct notes *notes)
{
	size_t i;

	tracepoint_probe_unregister(suture_sched_switch, on_switch, notes);
	suture_forget_forks(clear_new);
	for (i = 0; i < noted(notes); i++)
		put_task_struct(notes->task[i]);
	kvfree(notes->task);
}

/* A task that runs is noted when it stops. */
static void look_before(struct task_struct *task, void *unused)
{
	const struct suture_range *where = NULL;

	suture_task_check(task, &suture_transition.ranges, &where);
	if (where)
		note_busy(task, where);
}

/* In the stop. A task that is on a CPU is a stopper, which is where this one is. */
static bool all_outside(const struct notes *notes)
{
	const struct suture_range *where;
	struct task_struct *task;
	bool all = atomic_long_read(&notes->count) <= notes->room;
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

/* 0: all have switched. */
static int try_once(void)
{
	struct notes notes = {};
	struct stop stop = { .verdict = UNDECIDED, .notes = &notes };
	u64 began;
	int ret;

	nr_busy = 0;
	ret = begin_notes(&notes);
	if (ret)
		return ret;
	suture_visit_tasks(look_before, NULL);
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
