// SPDX-License-Identifier: GPL-2.0
/*
 * The hybrid model: each task switches by itself, once it is outside of all that is left. That is
 * seen at the border of user space, or by its stack while it does not run; from one that runs the
 * CPU is taken for that moment, so that it also works where there is no border to be seen.
 * Interrupts run on the side of the task that they interrupt.
 *
 * Guarantee and proof: docs/consistency.md.
 */
#include "core.h"

static bool notrace patched_side(void)
{
	return suture_task_side(current);
}

static bool finished(void)
{
	suture_switch_offline();
	return suture_try_tasks(suture_task_switch);
}

static void force(void)
{
	suture_tasks_set_all(suture_transition.to_patched);
}

const struct suture_model suture_hybrid_model = {
	.name = "hybrid",
	.patched_side = patched_side,
	.begin = suture_tasks_begin,
	.start = suture_tasks_start,
	.finished = finished,
	.end = suture_tasks_end,
	.nudge = suture_tasks_nudge,
	.force = force,
	.blocking = suture_tasks_blocking,
};
