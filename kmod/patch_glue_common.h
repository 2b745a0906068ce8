/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the glue of a patch module is made of, whichever core the module is for: the module itself
 * (init_module and cleanup_module are the including file's), what modinfo says of every patch, and
 * the means to tell the module writer the layouts of this kernel's structures.
 */
#ifndef _SUTURE_PATCH_GLUE_COMMON_H
#define _SUTURE_PATCH_GLUE_COMMON_H

#define INCLUDE_VERMAGIC
#include <linux/bug.h>
#include <linux/build-salt.h>
#include <linux/extable.h>
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/vermagic.h>
#include <asm/alternative.h>
#include <asm/extable.h>

MODULE_LICENSE("GPL");
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

/* What the writer needs to know for either core, and then `...` for this one. */
#define SUTURE_CONSTANTS(...)						\
	static const struct suture_constant suture_constants[]		\
	__used __section(".suture.constants") = {			\
		SIZE(alt_instr),					\
		SIZE(bug_entry),					\
		SIZE(exception_table_entry),				\
		SIZE(jump_entry),					\
		OFFSET(module, name),					\
		CONSTANT("module_name_len", MODULE_NAME_LEN),		\
		SIZE(modversion_info),					\
		OFFSET(modversion_info, name),				\
		__VA_ARGS__						\
	}

#endif /* _SUTURE_PATCH_GLUE_COMMON_H */
