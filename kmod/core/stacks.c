// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: a function may be replaced, or a patch's code be freed, only while no task will return
 * into it.
 *
 * Method: the versions that are left become sorted ranges of addresses, and every address that a
 * stack holds is looked up in them, so the cost of a stack does not grow with the number of
 * functions but by its logarithm. The addresses come from the kernel's unwinder where it vouches
 * for them. Where it does not (code without unwind tables) every aligned word of the stack is
 * taken for an address, as Ksplice did: return addresses are among them, so that errs to the safe
 * side only. But not where a tracer keeps return addresses elsewhere: its trampoline on the stack
 * counts as inside. A task that may have been preempted is looked at in both ways: in ftrace's
 * trampoline the version that the handler chose is no return address yet, but a saved register,
 * and the unwinder, which vouches for such a stack, does not tell of it.
 *
 * Invariants: a stack is only read while its task cannot run, or by the task's own CPU from an
 * interrupt. The ranges do not change while they are used.
 */
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "arch/arch.h"
#include "kernel_symbols.h"
#include "stacks.h"

/* As deep as the kernel's livepatch looks. */
#define MAX_FRAMES 100

static const struct suture_range hidden = { .name = "a traced return" };
static const struct suture_range no_stack = { .name = "an unreadable stack" };

static int compare_ranges(const void *a, const void *b)
{
	const struct suture_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int suture_ranges_add(struct suture_ranges *ranges, unsigned long start, unsigned long size,
		      const char *name)
{
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? 2 * ranges->room : 64;
		struct suture_range *more;

		more = kvmalloc_array(room, sizeof(*more), GFP_KERNEL);
		if (!more)
			return -ENOMEM;
		if (ranges->count)
			memcpy(more, ranges->range, ranges->count * sizeof(*more));
		kvfree(ranges->range);
		ranges->range = more;
		ranges->room = room;
	}
	ranges->range[ranges->count++] = (struct suture_range){ start, start + size, name };
	return 0;
}

/* Where two overlap (the same version left twice), the first is made to cover both. */
void suture_ranges_sort(struct suture_ranges *ranges)
{
	size_t i, kept = 0;

	if (!ranges->count)
		return;
	sort(ranges->range, ranges->count, sizeof(*ranges->range), compare_ranges, NULL);
	for (i = 1; i < ranges->count; i++) {
		struct suture_range *last = &ranges->range[kept];

		if (ranges->range[i].start < last->end)
			last->end = max(last->end, ranges->range[i].end);
		else
			ranges->range[++kept] = ranges->range[i];
	}
	ranges->count = kept + 1;
}

void suture_ranges_free(struct suture_ranges *ranges)
{
	kvfree(ranges->range);
	*ranges = (struct suture_ranges){};
}

static const struct suture_range *find_left(const struct suture_ranges *ranges,
					    unsigned long address)
{
	size_t low = 0, high = ranges->count;

	if (!high || address < ranges->range[0].start || address >= ranges->range[high - 1].end)
		return NULL;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (ranges->range[middle].start <= address)
			low = middle;
		else
			high = middle;
	}
	return address < ranges->range[low].end ? &ranges->range[low] : NULL;
}

static const struct suture_range *look_at_words(const unsigned long *from, const unsigned long *to,
						const struct suture_ranges *ranges)
{
	for (; from < to; from++) {
		unsigned long word = READ_ONCE_NOCHECK(*from);
		const struct suture_range *where = find_left(ranges, word);

		if (where)
			return where;
		if (suture_arch_hides_return(word))
			return &hidden;
	}
	return NULL;
}

/* The stack of the current task: what lies below its last frame may be stale. */
static const struct suture_range *look_at_own_words(const struct suture_ranges *ranges)
{
	unsigned long *from, *to;

	suture_arch_stack(current, &from, &to);
	return look_at_words(end_of_stack(current) + 1, to, ranges);
}

/* Of a task that is off its CPU: all that it has in use. */
static const struct suture_range *look_at_all_words(struct task_struct *task,
						    const struct suture_ranges *ranges)
{
	unsigned long *from, *to;

	suture_arch_stack(task, &from, &to);
	return from > end_of_stack(task) && from <= to ? look_at_words(from, to, ranges) :
							 &no_stack;
}

/* Off its CPU and on a runqueue: it did not give the CPU up by itself, or was woken up since. */
static bool may_be_preempted(const struct task_struct *task)
{
	return task != current && READ_ONCE(task->on_rq);
}

const struct suture_range *suture_task_inside(struct task_struct *task,
					      const struct suture_ranges *ranges)
{
	/* By one CPU at a time: an array of this size does not fit on a stack. */
	static DEFINE_PER_CPU(unsigned long[MAX_FRAMES], frames);
	const struct suture_range *where = NULL;
	unsigned long *frame;
	unsigned long flags;
	int count, i;

	if (!try_get_task_stack(task))
		return NULL;	/* it has ended, and is no more than its exit status */
	local_irq_save(flags);
	frame = *this_cpu_ptr(&frames);
	count = static_call(suture_stack_trace_save_tsk_reliable)(task, frame, MAX_FRAMES);
	if (count >= 0) {
		for (i = 0; i < count && !where; i++)
			where = find_left(ranges, frame[i]);
		if (!where && may_be_preempted(task))
			where = look_at_all_words(task, ranges);
	} else if (task == current) {
		where = look_at_own_words(ranges);
	} else {
		where = look_at_all_words(task, ranges);
	}
	local_irq_restore(flags);
	static_call(suture_put_task_stack)(task);
	return where;
}

struct check {
	const struct suture_ranges *ranges;
	const struct suture_range *where;
	void (*outside)(struct task_struct *task);
};

/* The scheduler holds the task where it is meanwhile. */
static int check_pinned(struct task_struct *task, void *argument)
{
	struct check *check = argument;

	if (task != current && READ_ONCE(task->on_cpu))
		return -EBUSY;
	check->where = suture_task_inside(task, check->ranges);
	if (check->where)
		return 1;
	if (check->outside)
		check->outside(task);
	return 0;
}

int suture_task_check(struct task_struct *task, const struct suture_ranges *ranges,
		      const struct suture_range **where,
		      void (*outside)(struct task_struct *task))
{
	struct check check = { .ranges = ranges, .outside = outside };
	int ret = static_call(suture_task_call_func)(task, check_pinned, &check);

	*where = check.where;
	return ret;
}
