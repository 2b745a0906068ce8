/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a diff says to Suture beside its code, and helpers for what only a live patch needs. To be
 * included by the diff itself, after all other headers: #include <suture.h>.
 * docs/patch-author-guide.md teaches it. It is the same for patches of the kernel's own livepatch
 * (SUTURE_CORE is 0) and of Suture's core (1); the build says which.
 */
#ifndef _SUTURE_H
#define _SUTURE_H

#include <linux/build_bug.h>
#include <linux/compiler.h>

#if SUTURE_CORE

#include <suture_patch.h>

/* This patch, once it is loaded. */
extern struct suture_patch suture_patch;

/* The state as this patch has it, and as the patches loaded before it have it; else NULL. */
static inline struct suture_system_state *suture_get_state(unsigned long id)
{
	return suture_patch_state(&suture_patch, id);
}

static inline struct suture_system_state *suture_get_prev_state(unsigned long id)
{
	return suture_prev_state(id);
}

#else

#include <linux/livepatch.h>

#define suture_object			klp_object
#define suture_system_state		klp_state
#define suture_shadow_ctor_t		klp_shadow_ctor_t
#define suture_shadow_dtor_t		klp_shadow_dtor_t
#define suture_shadow_get		klp_shadow_get
#define suture_shadow_alloc		klp_shadow_alloc
#define suture_shadow_get_or_alloc	klp_shadow_get_or_alloc
#define suture_shadow_free		klp_shadow_free
#define suture_shadow_free_all		klp_shadow_free_all

extern struct klp_patch suture_patch;

static inline struct suture_system_state *suture_get_state(unsigned long id)
{
	return klp_get_state(&suture_patch, id);
}

static inline struct suture_system_state *suture_get_prev_state(unsigned long id)
{
	return klp_get_prev_state(id);
}

#endif

/*
 * Callbacks of the object that this file belongs to (Documentation/livepatch/callbacks.rst), at
 * most one of a kind for an object:
 *
 *	SUTURE_PRE_PATCH(f)	int f(struct suture_object *), before the object is patched; an
 *				error refuses the patch (or the module that comes)
 *	SUTURE_POST_PATCH(f)	void f(struct suture_object *), once every task runs the new code
 *	SUTURE_PRE_UNPATCH(f)	void f(struct suture_object *), before tasks go back
 *	SUTURE_POST_UNPATCH(f)	void f(struct suture_object *), once every task runs the old code
 *
 * When a patch is replaced, its own unpatch callbacks do not run; the new patch's callbacks do.
 */
#define SUTURE_PRE_PATCH(function)	__SUTURE_CALLBACK(pre_patch, int, function)
#define SUTURE_POST_PATCH(function)	__SUTURE_CALLBACK(post_patch, void, function)
#define SUTURE_PRE_UNPATCH(function)	__SUTURE_CALLBACK(pre_unpatch, void, function)
#define SUTURE_POST_UNPATCH(function)	__SUTURE_CALLBACK(post_unpatch, void, function)

/* Two of a kind are two variables, for Suture to refuse in its own words. */
#define __SUTURE_CALLBACK(kind, result, function)				\
	static result (*const __UNIQUE_ID(suture_##kind))(struct suture_object *object)	\
	__used __section(".suture." #kind) = (function)

/*
 * The patch changes the state of the system, in the way that `version` of the state `id` (not 0)
 * stands for: Documentation/livepatch/system-state.rst.
 */
#define SUTURE_STATE(id, version) __SUTURE_STATE(id, version, __UNIQUE_ID(suture_state))
#define __SUTURE_STATE(id, version, name)					\
	static_assert((id) != 0, "a state's id is never 0");			\
	static const struct suture_state name					\
	__used __section(".suture.states") = { (id), (version) }

struct suture_state {
	unsigned long id;
	unsigned int version;
};

/*
 * The function or variable of this file stays as it runs, whatever the diff does to it; or all that
 * lies in a section, which is named as a string, as `objdump -h` shows it. The author answers for
 * that, and says why.
 */
#define SUTURE_IGNORE(name, reason)						\
	__SUTURE_SAY(".suture.ignored", __suture_ignored_##name, #name, reason)
#define SUTURE_IGNORE_SECTION(section, reason)					\
	__SUTURE_SAY(".suture.ignored", __UNIQUE_ID(suture_ignored), section, reason)

/*
 * The diff gives the address of this function or variable, which it adds, to the kernel, and the
 * kernel has it no more when the patch has been taken back: the diff's own callbacks see to that.
 * So the module may be freed then. The author answers for that, and says how it is done.
 */
#define SUTURE_TAKEN_BACK(name, reason)						\
	__SUTURE_SAY(".suture.taken_back", __suture_taken_back_##name, #name, reason)

#define __SUTURE_SAY(section, variable, what, reason)				\
	static const struct suture_word variable				\
	__used __section(section) = { what, reason };				\
	static_assert(sizeof(what) <= 128 && sizeof(reason) > 1 && sizeof(reason) <= 128,	\
		      "give a reason of at most 127 characters")

struct suture_word {
	char name[128];
	char reason[128];
};

/*
 * A new member of a structure that the running kernel has objects of, kept beside each object
 * (Documentation/livepatch/shadow-vars.rst). `id` is the member's, the same in every version of the
 * patch. SUTURE_SHADOW(refs, unsigned long, 1001) defines
 *
 *	unsigned long *refs_get(object)				NULL where there is none
 *	unsigned long *refs_get_or_alloc(object, gfp)		zero at first; NULL without memory
 *	void refs_free(object)
 *	void refs_free_all(void)
 */
#define SUTURE_SHADOW(name, type, id)						\
	static inline __maybe_unused type *name##_get(const void *object)	\
	{									\
		return suture_shadow_get((void *)object, (id));			\
	}									\
	static inline __maybe_unused type *name##_get_or_alloc(void *object, gfp_t gfp)	\
	{									\
		return suture_shadow_get_or_alloc(object, (id), sizeof(type), gfp, NULL, NULL);	\
	}									\
	static inline __maybe_unused void name##_free(void *object)		\
	{									\
		suture_shadow_free(object, (id), NULL);				\
	}									\
	static inline __maybe_unused void name##_free_all(void)			\
	{									\
		suture_shadow_free_all((id), NULL);				\
	}									\
	static_assert(sizeof(type) != 0)

#endif /* _SUTURE_H */
