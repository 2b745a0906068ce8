// SPDX-License-Identifier: GPL-2.0
/* A patch of the kernel's image by hand: /proc/cmdline says "patched". The parameters say what it is for. */
#include <linux/module.h>
#include <linux/seq_file.h>

#include "suture_patch.h"

static unsigned long address;
module_param(address, ulong, 0444);
static char *build_id;
module_param(build_id, charp, 0444);

static struct suture_symbol old = { .name = "cmdline_proc_show" };

static noinline int new_show(struct seq_file *m, void *v)
{
	seq_puts(m, "patched\n");
	return 0;
}

static const struct suture_func function = {
	.old = &old, .old_size = 16, .new_func = new_show, .new_size = 64,
};
static struct suture_object object = { .funcs = &function, .nr_funcs = 1 };
/* The address is that of the running kernel: nothing has to be moved. */
struct suture_patch suture_patch = {
	.abi = SUTURE_PATCH_ABI, .mod = THIS_MODULE, .objects = &object, .nr_objects = 1,
	.image_text = ULONG_MAX,
};

static int __init start(void)
{
	old.address = address;
	suture_patch.image_build_id = build_id;
	return suture_enable_patch(&suture_patch, "hybrid");
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
