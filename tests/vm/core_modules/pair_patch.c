// SPDX-License-Identifier: GPL-2.0
/*
 * A patch of pair.ko, written by hand: VERSION (2, ...) is what the new functions say they are,
 * REPLACE whether it takes over earlier ones; ONLY_LEFT: of one function. The sizes of the old
 * functions come from pair.ko. The read-only parameters say how often each callback has run.
 */
#include <linux/delay.h>
#include <linux/module.h>

#include "pair.h"
#include "suture_patch.h"

#define ENTRY(name)								\
	asm(".pushsection .text.entry, \"ax\"\n"				\
	    ".balign 16\n" #name "_entry:\n"					\
	    "add $8, %rsp\n"							\
	    "jmp new_" #name "\n"						\
	    ".balign 16, 0xcc\n"						\
	    ".popsection\n");							\
	extern char name##_entry[];

static char *model;
module_param(model, charp, 0444);

noinline int new_pair_left(int sleep);
noinline int new_pair_right(int unused);
noinline int new_pair_outer(int sleep);

noinline int new_pair_left(int sleep)
{
	if (sleep > 0)
		msleep_interruptible(sleep);
	else if (sleep < 0)
		udelay(-sleep);
	return VERSION;
}

noinline int new_pair_right(int unused)
{
	return VERSION;
}

/* BY_NAME: through the old functions, which lead to the new ones for as long as the caller's side does. */
#ifdef BY_NAME
#define CALL(function) function
#else
#define CALL(function) new_##function
#endif

noinline int new_pair_outer(int sleep)
{
	int left = CALL(pair_left)(sleep);
	int right = CALL(pair_right)(0);

	return left == VERSION && right == VERSION ? VERSION : -1;
}

ENTRY(pair_left)
ENTRY(pair_right)
ENTRY(pair_outer)

#define SYMBOL(function) \
	static const struct suture_symbol function##_symbol = { .object = "pair", .name = #function }
SYMBOL(pair_left);
#ifndef ONLY_LEFT
SYMBOL(pair_right);
SYMBOL(pair_outer);
#endif

#define FUNCTION(function, size)						\
	{ .old = &function##_symbol, .old_size = size, .new_func = new_##function, .new_size = 256, \
	  .entry = function##_entry }
static const struct suture_func functions[] = {
	FUNCTION(pair_left, LEFT_SIZE),
#ifndef ONLY_LEFT
	FUNCTION(pair_right, RIGHT_SIZE),
	FUNCTION(pair_outer, OUTER_SIZE),
#endif
};

#define CALLBACK(kind)								\
	static int kind;							\
	module_param(kind, int, 0444)
CALLBACK(pre_patch);
CALLBACK(post_patch);
CALLBACK(pre_unpatch);
CALLBACK(post_unpatch);

static int on_pre_patch(struct suture_object *object)
{
	pre_patch++;
	return 0;
}

static void on_post_patch(struct suture_object *object)
{
	post_patch++;
}

static void on_pre_unpatch(struct suture_object *object)
{
	pre_unpatch++;
}

static void on_post_unpatch(struct suture_object *object)
{
	post_unpatch++;
}

static struct suture_object object = {
	.name = "pair", .funcs = functions, .nr_funcs = ARRAY_SIZE(functions),
	.callbacks = { on_pre_patch, on_post_patch, on_pre_unpatch, on_post_unpatch },
};
struct suture_patch suture_patch = {
	.abi = SUTURE_PATCH_ABI, .replace = REPLACE, .mod = THIS_MODULE, .objects = &object,
	.nr_objects = 1,
};

static int __init start(void)
{
	return suture_enable_patch(&suture_patch, model);
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
