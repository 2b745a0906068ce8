// SPDX-License-Identifier: GPL-2.0
/*
 * The lazy model (kGraft): nobody is stopped and no stack of a task with a user space is looked
 * at. Such a task switches at the border of user space and nowhere else. Interrupts, softirqs and
 * NMIs run on the side of their CPU, which switches from a thread of that CPU: no interrupt is
 * under way below it, and the idle task stands where it gave up the CPU. Kernel threads have no
 * border: they switch when they are outside of all that is left, by the rule that Ksplice has for
 * all tasks.
 *
 * Guarantee and proof: docs/consistency.md.
 */
#include <linux/cpu.h>
#include <linux/percpu.h>

#include "arch/arch.h"
#include "core.h"
#include "kernel_symbols.h"

static DEFINE_PER_CPU(bool, cpu_side);

/*
 * With PREEMPT_RT softirqs are tasks' own: one may be preempted, and the CPU switch, in its
 * middle.
 */
static bool notrace in_cpu_context(void)
{
	return IS_ENABLED(CONFIG_PREEMPT_RT) ? in_nmi() || in_hardirq() : !in_task();
}

static bool notrace patched_side(void)
{
	return in_cpu_context() ? this_cpu_read(cpu_side) : suture_task_side(current);
}

static int begin(bool patched)
{
	int cpu;

	if (!suture_arch_has_border()) {
		pr_err("lazy: this kernel does not tell returns to user space (it has no KVM)\n");
		return -EOPNOTSUPP;
	}
	for_each_possible_cpu(cpu)
		per_cpu(cpu_side, cpu) = patched;
	return suture_tasks_begin(patched);
}

static void switch_cpu(int cpu)
{
	struct task_struct *idle = static_call(suture_idle_task)(cpu);

	per_cpu(cpu_side, cpu) = suture_transition.to_patched;
	if (idle)
		suture_task_set_side(idle, suture_transition.to_patched);
}

/* One store: an interrupt sees the CPU on the one side or on the other. */
static void switch_this_cpu(struct work_struct *work)
{
	preempt_disable();
	switch_cpu(smp_processor_id());
	preempt_enable();
}

static bool cpu_left(int cpu)
{
	struct task_struct *idle = static_call(suture_idle_task)(cpu);

	return per_cpu(cpu_side, cpu) != suture_transition.to_patched ||
	       (idle && suture_task_side(idle) != suture_transition.to_patched);
}

/* A CPU that is off runs nothing. It comes back with its side as it is left now. */
static void switch_cpus(void)
{
	bool online_left = false;
	int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		if (!cpu_left(cpu))
			continue;
		if (cpu_online(cpu))
			online_left = true;
		else
			switch_cpu(cpu);
	}
	cpus_read_unlock();
	if (online_left)
		suture_each_cpu(switch_this_cpu);
}

/* Workers of io_uring and vhost belong to a process, but never return to user space either. */
#ifdef PF_USER_WORKER
#define WITHOUT_BORDER (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)
#else
#define WITHOUT_BORDER (PF_KTHREAD | PF_IO_WORKER)
#endif

static bool has_border(const struct task_struct *task)
{
	return !(task->flags & WITHOUT_BORDER);
}

/* A zombie that nobody reaps: it has left its CPU for the last time. */
static bool is_dead(const struct task_struct *task)
{
	if (READ_ONCE(task->__state) != TASK_DEAD)
		return false;
	/* The state before whether it still runs: it is set first, by the task itself. */
	smp_rmb();
	return !READ_ONCE(task->on_cpu);
}

/* Those that will not come to the border. */
static void try_borderless(struct task_struct *task)
{
	if (is_idle_task(task))
		return;
	if (is_dead(task))
		suture_task_set_side(task, suture_transition.to_patched);
	else if (!has_border(task))
		suture_task_switch(task);
}

static bool finished(void)
{
	switch_cpus();
	return suture_try_tasks(try_borderless);
}

static void force(void)
{
	int cpu;

	suture_tasks_set_all(suture_transition.to_patched);
	for_each_possible_cpu(cpu)
		switch_cpu(cpu);
}

const struct suture_model suture_lazy_model = {
	.name = "lazy",
	.patched_side = patched_side,
	.begin = begin,
	.start = suture_tasks_start,
	.finished = finished,
	.end = suture_tasks_end,
	.nudge = suture_tasks_nudge,
	.force = force,
	.blocking = suture_tasks_blocking,
};
