// SPDX-License-Identifier: GPL-2.0
/*
 * The part of a patch module for Suture's own core that is the same for every patch: compiled once
 * per kernel together with the core, and linked into each patch module by
 * `suture build --for suture`. The patch itself is written as data by the module writer, which
 * learns the layouts of its structures from the constants below.
 */
#include "patch_glue_common.h"

#include "suture_patch.h"

#ifdef CONFIG_UNWINDER_ORC
#include <asm/orc_types.h>
#ifndef ORC_TYPE_CALL
#include <linux/objtool.h>
#define ORC_TYPE_CALL UNWIND_HINT_TYPE_CALL
#endif

/*
 * How to unwind out of an entry thunk: before it drops the return address into the old function,
 * and after that.
 */
static const struct orc_entry suture_thunk_rows[]
__used __section(".suture.thunk_rows") = {
	{ .sp_offset = 16, .sp_reg = ORC_REG_SP, .type = ORC_TYPE_CALL },
	{ .sp_offset = 8, .sp_reg = ORC_REG_SP, .type = ORC_TYPE_CALL },
};
#endif

/* Written by the module writer. */
extern struct suture_patch suture_patch;

/* A property of the load, not of the patch. */
static char *model;
module_param(model, charp, 0444);
MODULE_PARM_DESC(model, "consistency model: stop, lazy or hybrid");

static int __init suture_patch_init(void)
{
	return suture_enable_patch(&suture_patch, model);
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

MODULE_INFO(suture, "Y");
MODULE_INFO(depends, "suture");

SUTURE_CONSTANTS(
	CONSTANT("suture_patch_abi", SUTURE_PATCH_ABI),
	SIZE(suture_symbol),
	OFFSET(suture_symbol, object),
	OFFSET(suture_symbol, name),
	OFFSET(suture_symbol, sympos),
	OFFSET(suture_symbol, address),
	SIZE(suture_func),
	OFFSET(suture_func, old),
	OFFSET(suture_func, old_size),
	OFFSET(suture_func, old_cold),
	OFFSET(suture_func, old_cold_size),
	OFFSET(suture_func, new_func),
	OFFSET(suture_func, new_size),
	OFFSET(suture_func, new_cold),
	OFFSET(suture_func, new_cold_size),
	OFFSET(suture_func, entry),
	SIZE(suture_relocation),
	OFFSET(suture_relocation, place),
	OFFSET(suture_relocation, symbol),
	OFFSET(suture_relocation, addend),
	OFFSET(suture_relocation, type),
	SIZE(suture_object),
	OFFSET(suture_object, name),
	OFFSET(suture_object, funcs),
	OFFSET(suture_object, nr_funcs),
	OFFSET(suture_object, relocations),
	OFFSET(suture_object, nr_relocations),
	OFFSET(suture_object, callbacks.pre_patch),
	OFFSET(suture_object, callbacks.post_patch),
	OFFSET(suture_object, callbacks.pre_unpatch),
	OFFSET(suture_object, callbacks.post_unpatch),
	SIZE(suture_system_state),
	OFFSET(suture_system_state, id),
	OFFSET(suture_system_state, version),
	SIZE(suture_patch),
	OFFSET(suture_patch, abi),
	OFFSET(suture_patch, replace),
	OFFSET(suture_patch, mod),
	OFFSET(suture_patch, objects),
	OFFSET(suture_patch, nr_objects),
	OFFSET(suture_patch, states),
	OFFSET(suture_patch, nr_states),
	OFFSET(suture_patch, relocations),
	OFFSET(suture_patch, nr_relocations),
	OFFSET(suture_patch, image_text),
	OFFSET(suture_patch, image_build_id),
);
