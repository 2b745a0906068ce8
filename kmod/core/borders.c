// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: the models that never stop the machine must know of each task on which side it runs,
 * and catch it where it is in no function of the kernel.
 *
 * Method: the side is one bit of the task's own thread flags, the highest one, which no
 * architecture uses: it is there on every kernel, is found at once by the ftrace handler, and is
 * copied to a new task together with its parent's other flags. A probe of task_newtask copies it
 * again, as the parent may have switched between that copy and the moment that the child could be
 * found in the task list; the child has not run yet. The way back to user space is watched on
 * each CPU while the border is open (arch_open_border). Interrupts, which belong to no task, have
 * a side for each CPU.
 *
 * Invariants: a side only changes in a transition. Only the task itself, at the border, or who
 * has found it outside of what is left changes it. At the border a task is inside of no function
 * that these models replace.
 */
#include <linux/cpuhotplug.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <trace/events/task.h>

#include "arch/arch.h"
#include "core.h"
#include "kernel_symbols.h"

#define SIDE_FLAG (BITS_PER_LONG - 1)

static bool border_open;
static enum cpuhp_state hotplug_state;
static struct tracepoint *newtask;
struct tracepoint *suture_sched_switch;

/* Part of the handler, as the models' patched_side(). */
bool notrace suture_task_side(const struct task_struct *task)
{
	return test_bit(SIDE_FLAG, (const unsigned long *)&task_thread_info(task)->flags);
}

void suture_task_set_side(struct task_struct *task, bool patched)
{
	unsigned long *flags = (unsigned long *)&task_thread_info(task)->flags;

	if (patched)
		set_bit(SIDE_FLAG, flags);
	else
		clear_bit(SIDE_FLAG, flags);
}

static void set_task(struct task_struct *task, void *argument)
{
	suture_task_set_side(task, *(bool *)argument);
}

/* With the lists of tasks held still by tasklist_lock, or by RCU. */
static void visit_lists(void (*fn)(struct task_struct *task, void *argument), void *argument)
{
	struct task_struct *process, *task;

	for_each_process_thread(process, task)
		fn(task, argument);
}

static void visit_idle(void (*fn)(struct task_struct *task, void *argument), void *argument)
{
	struct task_struct *task;
	int cpu;

	for_each_possible_cpu(cpu) {
		task = static_call(suture_idle_task)(cpu);
		if (task)
			fn(task, argument);
	}
}

void suture_visit_tasks(void (*fn)(struct task_struct *task, void *argument), void *argument)
{
	read_lock(suture_tasklist_lock);
	visit_lists(fn, argument);
	read_unlock(suture_tasklist_lock);
	visit_idle(fn, argument);
}

/* tasklist_lock would keep tasks from being born and from dying for as long as it takes. */
void suture_look_at_tasks(void (*fn)(struct task_struct *task, void *argument), void *argument)
{
	rcu_read_lock();
	visit_lists(fn, argument);
	rcu_read_unlock();
	visit_idle(fn, argument);
}

void suture_tasks_set_all(bool patched)
{
	suture_visit_tasks(set_task, &patched);
}

void suture_switch_offline(void)
{
	struct task_struct *idle;
	int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		idle = static_call(suture_idle_task)(cpu);
		if (idle && !cpu_online(cpu))
			suture_task_set_side(idle, suture_transition.to_patched);
	}
	cpus_read_unlock();
}

static void switch_task(struct task_struct *task)
{
	suture_task_set_side(task, suture_transition.to_patched);
}

void suture_task_switch(struct task_struct *task)
{
	const struct suture_range *where;

	if (suture_task_side(task) != suture_transition.to_patched)
		suture_task_check(task, &suture_transition.ranges, &where, switch_task);
}

/* With interrupts off, by the task that is about to return to user space. */
void suture_at_border(void)
{
	suture_task_set_side(current, READ_ONCE(suture_transition.to_patched));
}

/* Called for each new task, which is in the task list and has not run yet. */
static void inherit_side(void *unused, struct task_struct *task, unsigned long clone_flags)
{
	suture_task_set_side(task, suture_task_side(current));
}

static void open_here(void *unused)
{
	suture_arch_open_border();
}

static void close_here(void *unused)
{
	suture_arch_close_border();
}

/* Each task that the border catches would be inside of what is left. */
static int check_border(struct suture_live *live)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;

	suture_for_each_object(live, object) {
		suture_for_each_redirect(object, redirect) {
			if (!suture_arch_is_at_border(redirect->old_address))
				continue;
			pr_err("'%s' leads to user space: only the stop model can replace it\n",
			       redirect->old->name);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

int suture_tasks_begin(bool patched)
{
	int ret = check_border(suture_transition.live);

	if (!ret)
		ret = tracepoint_probe_register(newtask, inherit_side, NULL);
	if (!ret)
		suture_tasks_set_all(patched);
	return ret;
}

/*
 * Opens the border. The interrupt that does so also catches the task that it interrupts on its
 * way to user space.
 */
int suture_tasks_start(void)
{
	cpus_read_lock();
	WRITE_ONCE(border_open, true);
	on_each_cpu(open_here, NULL, 1);
	cpus_read_unlock();
	return 0;
}

/* Also where the border was not opened. */
void suture_tasks_end(void)
{
	cpus_read_lock();
	WRITE_ONCE(border_open, false);
	on_each_cpu(close_here, NULL, 1);
	cpus_read_unlock();
	tracepoint_probe_unregister(newtask, inherit_side, NULL);
	tracepoint_synchronize_unregister();
}

/* By the CPU itself, from a thread of its own. */
static int cpu_comes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	if (READ_ONCE(border_open))
		suture_arch_open_border();
	local_irq_restore(flags);
	return 0;
}

static int cpu_goes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	suture_arch_close_border();
	local_irq_restore(flags);
	return 0;
}

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	if (!strcmp(tracepoint->name, "task_newtask"))
		newtask = tracepoint;
	else if (!strcmp(tracepoint->name, "sched_switch"))
		suture_sched_switch = tracepoint;
}

int suture_borders_init(void)
{
	int ret;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	if (!newtask || !suture_sched_switch) {
		pr_err("this kernel has no tracepoint task_newtask or sched_switch\n");
		return -EOPNOTSUPP;
	}
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "suture:border", cpu_comes, cpu_goes);
	if (ret < 0)
		return ret;
	hotplug_state = ret;
	return 0;
}

void suture_borders_exit(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
}

static void nudge_task(struct task_struct *task, void *unused)
{
	if (suture_task_side(task) == suture_transition.to_patched || is_idle_task(task))
		return;
	if (task->flags & PF_KTHREAD) {
		static_call(suture_wake_up_state)(task, TASK_INTERRUPTIBLE);
		return;
	}
	/* As set_notify_signal(), whose other half is not exported: leave the kernel, no signal. */
	if (!test_and_set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL) &&
	    !static_call(suture_wake_up_state)(task, TASK_INTERRUPTIBLE))
		kick_process(task);
}

void suture_tasks_nudge(void)
{
	suture_visit_tasks(nudge_task, NULL);
}

/*
 * Whether all tasks are there; the border and CPUs may have moved some since they were looked at.
 */
static void note_laggard(struct task_struct *task, void *laggards)
{
	if (suture_task_side(task) != suture_transition.to_patched)
		++*(size_t *)laggards;
}

size_t suture_tasks_left(void)
{
	size_t laggards = 0;

	suture_visit_tasks(note_laggard, &laggards);
	return laggards;
}

/* A task that ran there when it was tried, held, and how to try it; under suture_mutex. */
struct running {
	struct task_struct *task;
	void (*fn)(struct task_struct *task);
};

static DEFINE_PER_CPU(struct running, running);

struct trial {
	void (*fn)(struct task_struct *task);
	size_t left;
	size_t running;			/* of those: noted for their CPUs */
};

static void try_task(struct task_struct *task, void *argument)
{
	struct trial *trial = argument;
	struct running *here;

	if (suture_task_side(task) == suture_transition.to_patched)
		return;
	trial->fn(task);
	if (suture_task_side(task) == suture_transition.to_patched)
		return;
	trial->left++;
	here = per_cpu_ptr(&running, task_cpu(task));
	if (here->task || !READ_ONCE(task->on_cpu))
		return;
	*here = (struct running){ get_task_struct(task), trial->fn };
	trial->running++;
}

/* In a thread of the CPU, for which it has taken off what it ran: at a point to schedule. */
static void try_here(struct work_struct *work)
{
	struct running *here = per_cpu_ptr(&running, raw_smp_processor_id());

	if (here->task)
		here->fn(here->task);
}

/*
 * One pass over the tasks, however many CPUs there are; who was born meanwhile is asked for only
 * when nobody else seems to be left.
 */
bool suture_try_tasks(void (*fn)(struct task_struct *task))
{
	struct trial trial = { .fn = fn };
	int cpu;

	suture_look_at_tasks(try_task, &trial);
	if (trial.running)
		suture_each_cpu(try_here);
	for_each_possible_cpu(cpu) {
		struct running *here = per_cpu_ptr(&running, cpu);

		if (here->task)
			put_task_struct(here->task);
		here->task = NULL;
	}
	return trial.left == trial.running && !suture_tasks_left();
}

/* As many as the attribute's page has room for. */
#define MAX_LISTED 100

struct listing {
	char *page;
	ssize_t length;
	unsigned int listed;
};

static void list_task(struct task_struct *task, void *argument)
{
	struct listing *listing = argument;
	const struct suture_range *where;

	if (suture_task_side(task) == suture_transition.to_patched || listing->listed == MAX_LISTED)
		return;
	listing->listed++;
	where = NULL;
	suture_task_check(task, &suture_transition.ranges, &where, NULL);
	listing->length += sysfs_emit_at(listing->page, listing->length, "%d %s\n",
					 task_pid_nr(task), where ? where->name : "-");
}

ssize_t suture_tasks_blocking(char *page)
{
	struct listing listing = { .page = page };

	listing.length = sysfs_emit(page, "%zu\n", suture_tasks_left());
	suture_visit_tasks(list_task, &listing);
	return listing.length;
}
