// SPDX-License-Identifier: GPL-2.0
/*
 * The part of a livepatch module that is the same for every patch: compiled once per kernel, with
 * that kernel's own build system, and linked into each patch module by `suture build`.
 *
 * The patch itself (struct klp_patch, its objects and functions) is written as data by the module
 * writer, which learns the layouts of this kernel's structures from suture_constants below.
 */
#define INCLUDE_VERMAGIC
#include <linux/bug.h>
#include <linux/build-salt.h>
#include <linux/extable.h>
#include <linux/jump_label.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/vermagic.h>
#include <asm/alternative.h>

/* Written by the module writer. */
extern struct klp_patch suture_patch;

static int __init suture_patch_init(void)
{
	return klp_enable_patch(&suture_patch);
}

/* Without an exit function a module cannot be unloaded; the core has disabled the patch by then. */
static void __exit suture_patch_exit(void)
{
}

module_init(suture_patch_init);
module_exit(suture_patch_exit);

MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
MODULE_INFO(vermagic, VERMAGIC_STRING);
#if defined(CONFIG_RETPOLINE) || defined(CONFIG_MITIGATION_RETPOLINE)
MODULE_INFO(retpoline, "Y");
#endif

__visible struct module __this_module
__section(".gnu.linkonce.this_module") = {
	.name = "suture_patch_glue",
	.init = init_module,
	.exit = cleanup_module,
	.arch = MODULE_ARCH_INIT,
};

struct suture_constant {
	char name[40];
	u64 value;
};

#define CONSTANT(text, number) { .name = text, .value = (number) }
#define SIZE(type) CONSTANT(#type, sizeof(struct type))
#define OFFSET(type, member) CONSTANT(#type "." #member, offsetof(struct type, member))

static const struct suture_constant suture_constants[]
__used __section(".suture.constants") = {
	SIZE(alt_instr),
	SIZE(bug_entry),
	SIZE(exception_table_entry),
	SIZE(jump_entry),
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
	OFFSET(module, name),
	CONSTANT("module_name_len", MODULE_NAME_LEN),
	SIZE(modversion_info),
	OFFSET(modversion_info, name),
};
