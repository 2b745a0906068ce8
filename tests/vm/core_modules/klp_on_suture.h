/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lets a patch that was written for the kernel's livepatch be one of Suture's core, its source
 * unchanged: to be included before all else (-include). Types and structures stay the kernel's;
 * the calls go here, where what the patch says is said again in a struct suture_patch when it is
 * enabled. Functions are found by kprobes that are never armed, and measured by kallsyms.
 */
#ifndef _KLP_ON_SUTURE_H
#define _KLP_ON_SUTURE_H

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <asm/nospec-branch.h>

#include "suture_patch.h"

#define KLP_MOST 8

static char *model __maybe_unused;
/* Whether functions get direct calls once a transition is over. */
static bool direct __maybe_unused = true;
static struct klp_object *klp_objects __maybe_unused;
static struct suture_symbol klp_symbols[KLP_MOST] __maybe_unused;
static struct suture_func klp_funcs[KLP_MOST] __maybe_unused;
static struct suture_object klp_suture_objects[KLP_MOST] __maybe_unused;
static struct suture_system_state klp_states[KLP_MOST] __maybe_unused;
static struct suture_patch klp_suture_patch __maybe_unused;
/* Where the entry thunk of a function jumps to. */
static void *klp_targets[KLP_MOST] __maybe_unused;
extern char klp_thunks[];

/*
 * A livepatch is a patch of Suture's core here. The thunks are the `entry` of its functions, which
 * a module of `suture build` has with the jump's target in them. The note tells that a module which
 * is still there after its patch has gone was a patch.
 */
#undef MODULE_INFO
#define MODULE_INFO(tag, info) KLP_INFO_##tag(info)
#define KLP_INFO_license(info) __MODULE_INFO(license, license, info)
#define KLP_INFO_author(info) __MODULE_INFO(author, author, info)
#define KLP_INFO_description(info) __MODULE_INFO(description, description, info)
#define KLP_INFO_livepatch(info)						\
	module_param(model, charp, 0444);					\
	module_param(direct, bool, 0444);					\
	static void *const klp_targets_used __used = klp_targets;		\
	asm(".pushsection .text.entry, \"ax\"\n"				\
	    ".balign 16\n"							\
	    "klp_thunks:\n"							\
	    ".set klp_slot, 0\n"						\
	    ".rept 8\n"								\
	    "add $8, %rsp\n"							\
	    ANNOTATE_RETPOLINE_SAFE "\n"					\
	    "jmp *klp_targets + klp_slot(%rip)\n"				\
	    ".balign 16, 0xcc\n"						\
	    ".set klp_slot, klp_slot + 8\n"					\
	    ".endr\n"								\
	    ".popsection\n"							\
	    ".pushsection .note.suture, \"a\", @note\n"			\
	    ".balign 4\n"							\
	    ".long 7, 1f - 0f, 1\n"						\
	    ".asciz \"Suture\"\n"						\
	    ".balign 4\n"							\
	    "0: .asciz \"suture.format=1\"\n"					\
	    ".asciz \"suture.core=suture\"\n"					\
	    "1: .balign 4\n"							\
	    ".popsection\n");							\
	__MODULE_INFO(suture.core, suture_core, "suture")

/* Where the symbol at the address begins and how far it goes. */
static inline int klp_extent(unsigned long address, unsigned long *start, unsigned long *size)
{
	static char text[KSYM_SYMBOL_LEN];
	unsigned long offset;
	char *plus;

	sprint_symbol(text, address);
	plus = strrchr(text, '+');
	if (!plus || sscanf(plus, "+%lx/%lx", &offset, size) != 2)
		return -ENOENT;
	*start = address - offset;
	return 0;
}

static inline int klp_find(const char *object, const char *name, unsigned long *start,
			   unsigned long *size)
{
	static char full[KSYM_NAME_LEN];
	static struct kprobe probe;
	int ret;

	snprintf(full, sizeof(full), "%s%s%s", object ?: "", object ? ":" : "", name);
	probe = (struct kprobe){ .symbol_name = full, .flags = KPROBE_FLAG_DISABLED };
	ret = register_kprobe(&probe);
	if (ret)
		return ret;
	ret = klp_extent((unsigned long)probe.addr, start, size);
	unregister_kprobe(&probe);
	return ret;
}

static inline int klp_say_func(const char *object, const struct klp_func *func, size_t at)
{
	struct suture_symbol *old = &klp_symbols[at];
	unsigned long start, size, new_start, new_size;
	int ret;

	if (at >= KLP_MOST || func->old_sympos)
		return -E2BIG;
	ret = klp_find(object, func->old_name, &start, &size);
	/* A function of a module to come: as long as any; too long is only too careful. */
	if (ret && object) {
		size = PAGE_SIZE;
		ret = 0;
	}
	ret = ret ?: klp_extent((unsigned long)func->new_func, &new_start, &new_size);
	if (ret)
		return ret;
	*old = (struct suture_symbol){
		.object = object, .name = func->old_name, .address = object ? 0 : start,
	};
	klp_targets[at] = func->new_func;
	klp_funcs[at] = (struct suture_func){
		.old = old, .old_size = size, .new_func = func->new_func, .new_size = new_size,
		.entry = direct ? klp_thunks + at * SUTURE_ENTRY_SIZE : NULL,
	};
	return 0;
}

/* The patch's own description of the object, with the module that the core has for it. */
static inline struct klp_object *klp_same(struct suture_object *object)
{
	struct klp_object *klp = &klp_objects[object - klp_suture_objects];

	klp->mod = object->mod;
	return klp;
}

static inline int klp_do_pre_patch(struct suture_object *object)
{
	struct klp_object *klp = klp_same(object);

	return klp->callbacks.pre_patch ? klp->callbacks.pre_patch(klp) : 0;
}

static inline void klp_do_post_patch(struct suture_object *object)
{
	struct klp_object *klp = klp_same(object);

	if (klp->callbacks.post_patch)
		klp->callbacks.post_patch(klp);
}

static inline void klp_do_pre_unpatch(struct suture_object *object)
{
	struct klp_object *klp = klp_same(object);

	if (klp->callbacks.pre_unpatch)
		klp->callbacks.pre_unpatch(klp);
}

static inline void klp_do_post_unpatch(struct suture_object *object)
{
	struct klp_object *klp = klp_same(object);

	if (klp->callbacks.post_unpatch)
		klp->callbacks.post_unpatch(klp);
}

static inline int klp_say_objects(struct klp_patch *patch)
{
	const struct klp_object *object;
	size_t nr_funcs = 0, nr = 0;
	int ret;

	klp_objects = patch->objs;
	for (object = patch->objs; object->funcs || object->name; object++, nr++) {
		struct suture_object *said = &klp_suture_objects[nr];
		const struct klp_func *func;

		if (nr >= KLP_MOST)
			return -E2BIG;
		*said = (struct suture_object){
			.name = object->name,
			.funcs = &klp_funcs[nr_funcs],
			.callbacks = {
				.pre_patch = klp_do_pre_patch,
				.post_patch = klp_do_post_patch,
				.pre_unpatch = klp_do_pre_unpatch,
				.post_unpatch = klp_do_post_unpatch,
			},
		};
		for (func = object->funcs; func->old_name; func++) {
			ret = klp_say_func(object->name, func, nr_funcs++);
			if (ret)
				return ret;
			said->nr_funcs++;
		}
	}
	klp_suture_patch.objects = klp_suture_objects;
	klp_suture_patch.nr_objects = nr;
	return 0;
}

/* Each with the patch's own description of the state as its data. */
static inline int klp_say_states(struct klp_patch *patch)
{
	struct klp_state *state;
	size_t nr = 0;

	for (state = patch->states; state && state->id; state++) {
		if (nr >= KLP_MOST)
			return -E2BIG;
		klp_states[nr++] = (struct suture_system_state){
			.id = state->id, .version = state->version, .data = state,
		};
	}
	klp_suture_patch.states = klp_states;
	klp_suture_patch.nr_states = nr;
	return 0;
}

static inline int klp_on_suture(struct klp_patch *patch)
{
	int ret = klp_say_objects(patch) ?: klp_say_states(patch);

	if (ret)
		return ret;
	klp_suture_patch.abi = SUTURE_PATCH_ABI;
	klp_suture_patch.replace = patch->replace;
	klp_suture_patch.mod = patch->mod;
	/* The addresses are those of the running kernel: nothing has to be moved. */
	klp_suture_patch.image_text = ULONG_MAX;
	klp_suture_patch.image_build_id = RUNNING_BUILD_ID;
	return suture_enable_patch(&klp_suture_patch, model);
}

static inline struct klp_state *klp_state_of(const struct suture_system_state *state)
{
	return state ? state->data : NULL;
}

#define klp_enable_patch(patch) klp_on_suture(patch)
#define klp_get_state(patch, id) klp_state_of(suture_patch_state(&klp_suture_patch, id))
#define klp_get_prev_state(id) klp_state_of(suture_prev_state(id))
#define klp_shadow_get(object, id) suture_shadow_get(object, id)
#define klp_shadow_alloc(object, id, size, gfp, ctor, data) \
	suture_shadow_alloc(object, id, size, (__force unsigned int)(gfp), ctor, data)
#define klp_shadow_get_or_alloc(object, id, size, gfp, ctor, data) \
	suture_shadow_get_or_alloc(object, id, size, (__force unsigned int)(gfp), ctor, data)
#define klp_shadow_free(object, id, dtor) suture_shadow_free(object, id, dtor)
#define klp_shadow_free_all(id, dtor) suture_shadow_free_all(id, dtor)

/* The source says its own. */
#undef pr_fmt

#endif /* _KLP_ON_SUTURE_H */
