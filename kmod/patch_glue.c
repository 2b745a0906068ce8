// SPDX-License-Identifier: GPL-2.0
/*
 * The part of a livepatch module that is the same for every patch: compiled once per kernel, with
 * that kernel's own build system, and linked into each patch module by `suture build`.
 *
 * The patch itself (struct klp_patch, its objects and functions) is written as data by the module
 * writer, which learns the layouts of this kernel's structures from the constants below.
 */
#include "patch_glue_common.h"

#include <linux/livepatch.h>

/* Written by the module writer. */
extern struct klp_patch suture_patch;

static int __init suture_patch_init(void)
{
	return klp_enable_patch(&suture_patch);
}

/*
 * The core has disabled the patch by then. Without an exit function a module cannot be unloaded:
 * the module writer leaves this one out where others may still call into the patch.
 */
static void __exit suture_patch_exit(void)
{
}

module_init(suture_patch_init);
module_exit(suture_patch_exit);

MODULE_INFO(livepatch, "Y");
MODULE_INFO(depends, "");

SUTURE_CONSTANTS(
	SIZE(klp_func),
	OFFSET(klp_func, old_name),
	OFFSET(klp_func, new_func),
	OFFSET(klp_func, old_sympos),
	SIZE(klp_object),
	OFFSET(klp_object, name),
	OFFSET(klp_object, funcs),
	OFFSET(klp_object, callbacks.pre_patch),
	OFFSET(klp_object, callbacks.post_patch),
	OFFSET(klp_object, callbacks.pre_unpatch),
	OFFSET(klp_object, callbacks.post_unpatch),
	SIZE(klp_patch),
	OFFSET(klp_patch, mod),
	OFFSET(klp_patch, objs),
	OFFSET(klp_patch, states),
	OFFSET(klp_patch, replace),
	SIZE(klp_state),
	OFFSET(klp_state, id),
	OFFSET(klp_state, version),
);
