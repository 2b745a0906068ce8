/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SUTURE_STACKS_H
#define _SUTURE_STACKS_H

#include <linux/sched.h>

/* A version of a function that tasks may have to leave: [start, end). */
struct suture_range {
	unsigned long start;
	unsigned long end;
	const char *name;
};

struct suture_ranges {
	struct suture_range *range;	/* sorted by start, never overlapping */
	size_t count;
	size_t room;
};

int suture_ranges_add(struct suture_ranges *ranges, unsigned long start, unsigned long size,
		      const char *name);
/* After the last was added. */
void suture_ranges_sort(struct suture_ranges *ranges);
void suture_ranges_free(struct suture_ranges *ranges);

/* The task must stand still, or be the current one. NULL: it is outside. */
const struct suture_range *suture_task_inside(struct task_struct *task,
					      const struct suture_ranges *ranges);
/*
 * Of a task that may run: -EBUSY while it does, 1 inside (then *where), 0 outside: then the
 * function, if there is one, is called while the task is kept where it is.
 */
int suture_task_check(struct task_struct *task, const struct suture_ranges *ranges,
		      const struct suture_range **where,
		      void (*outside)(struct task_struct *task));

#endif /* _SUTURE_STACKS_H */
