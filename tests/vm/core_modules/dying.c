// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that calls pair_outer() on the last steps of its life, when no list of tasks holds it any
 * more: what a dying task still frees after that is the pipe that it splices by, and the buffer of
 * this one calls. It sleeps in there for sleep_ms, and is woken over and over meanwhile, so that it
 * leaves its CPU again and again. /sys/module/dying/parameters: inside, while it does; then mixed.
 */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include "pair.h"

static int sleep_ms = 1000;
module_param(sleep_ms, int, 0444);
static bool inside;
module_param(inside, bool, 0444);
static bool mixed;
module_param(mixed, bool, 0444);

#define WAKE_MS 3

static struct task_struct *thread;

static void wake(struct timer_list *timer)
{
	if (!READ_ONCE(inside))
		return;
	wake_up_process(thread);
	mod_timer(timer, jiffies + msecs_to_jiffies(WAKE_MS));
}

static DEFINE_TIMER(waker, wake);

static void call_at_last(struct pipe_inode_info *pipe, struct pipe_buffer *buffer)
{
	WRITE_ONCE(inside, true);
	mod_timer(&waker, jiffies + msecs_to_jiffies(WAKE_MS));
	mixed = pair_outer(sleep_ms) < 0;
	WRITE_ONCE(inside, false);
}

static const struct pipe_buf_operations last_steps = { .release = call_at_last };

static int die(void *unused)
{
	struct pipe_inode_info *pipe = kzalloc(sizeof(*pipe), GFP_KERNEL);

	pipe->bufs = kzalloc(sizeof(*pipe->bufs), GFP_KERNEL);
	pipe->bufs->ops = &last_steps;
	pipe->ring_size = 1;
	pipe->user = get_current_user();
	current->splice_pipe = pipe;
	return 0;
}

static int __init dying_init(void)
{
	thread = kthread_create(die, NULL, "dying");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	get_task_struct(thread);
	wake_up_process(thread);
	return 0;
}

static void __exit dying_exit(void)
{
	del_timer_sync(&waker);
	put_task_struct(thread);
}

module_init(dying_init);
module_exit(dying_exit);
MODULE_LICENSE("GPL");
