// SPDX-License-Identifier: GPL-2.0
/* The functions of called.ko once more, as a patch of the kernel's livepatch. */
#include <linux/delay.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static noinline int new_called(int argument)
{
	return argument + 1;
}

static noinline int new_held(int milliseconds)
{
	msleep_interruptible(milliseconds);
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "called", .new_func = new_called },
	{ .old_name = "held", .new_func = new_held },
	{ }
};

static struct klp_object objects[] = {
	{ .name = "called", .funcs = funcs },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init start(void)
{
	return klp_enable_patch(&patch);
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_INFO(livepatch, "Y");
MODULE_DESCRIPTION("Functions whose calls are counted, patched");
MODULE_LICENSE("GPL");
