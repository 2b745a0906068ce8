// SPDX-License-Identifier: GPL-2.0
/*
 * The part of a patch module for Suture's own core that is the same for every patch: compiled once
 * per kernel together with the core, and linked into each patch module by
 * `suture build --for suture`. The patch itself is written as data by the module writer.
 */
#define INCLUDE_VERMAGIC
#include <linux/bug.h>
#include <linux/build-salt.h>
#include <linux/extable.h>
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/vermagic.h>
#include <asm/alternative.h>

#include "suture_patch.h"

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

/* Without an exit function a module cannot be unloaded; the core has disabled the patch by then. */
static void __exit suture_patch_exit(void)
{
}

module_init(suture_patch_init);
module_exit(suture_patch_exit);

MODULE_LICENSE("GPL");
MODULE_INFO(suture, "Y");
MODULE_INFO(depends, "suture");
MODULE_INFO(vermagic, VERMAGIC_STRING);
