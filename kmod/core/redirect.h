/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SUTURE_REDIRECT_H
#define _SUTURE_REDIRECT_H

#include <linux/kobject.h>
#include <linux/list.h>

#include "suture_patch.h"

struct suture_live;

/* An entry of a stack of versions of one old function; the top one is what runs. */
struct suture_redirect {
	struct kobject kobj;
	const struct suture_func *func;	/* NULL: back to the original, for a replace patch */
	const struct suture_symbol *old;
	const struct suture_symbol *cold_symbol;	/* NULL: the old one has no cold part */
	unsigned long old_size;
	unsigned long old_address;	/* 0 while the object is not there */
	unsigned long old_cold;		/* likewise; 0: none */
	unsigned long old_cold_size;
	struct suture_site *site;	/* while the object is patched */
	struct list_head stack_node;	/* in site->versions; under RCU */
	struct list_head node;		/* in object->redirects */
	bool transition;		/* which version runs depends on who calls */
};

struct suture_live_object {
	struct kobject kobj;
	struct suture_object *object;	/* NULL: only in the patches that are replaced */
	const char *name;		/* NULL: vmlinux */
	struct list_head redirects;
	struct list_head node;		/* in live->objects */
	struct suture_live *live;
	bool present;			/* its functions have addresses */
	bool patched;			/* their versions are on the sites' stacks */
	bool pre_patch_done;		/* so its other callbacks run, too */
	bool owes_post_patch;		/* one that comes before it has run since it ran last */
};

#define suture_for_each_redirect(object, redirect) \
	list_for_each_entry(redirect, &(object)->redirects, node)

/*
 * The side that the caller of a function in transition runs on: true, the patched one. From now on
 * the handler asks that function, in any context, with preemption off.
 */
void suture_ask_for_side(bool (*patched_side)(void));
/* When suture_tidy_sites() has left nothing. */
void suture_redirects_exit(void);
/* Puts the versions of the objects' functions on top; all, or none and an error. */
int suture_patch_objects(struct suture_live_object **objects, size_t count, bool transition);
/* Makes the objects' versions depend on the caller, before they are put into transition. */
int suture_hook_objects(struct list_head *objects);
/* Its versions may still be seen until suture_synchronize(). */
void suture_unpatch_object(struct suture_live_object *object);
/* Whether functions of that module are hooked or settled, if only because nobody has tidied yet. */
bool suture_has_sites_in(const char *module);
/*
 * Lets go of hooks that are not needed, and of functions that have no version any more. True: there
 * are functions left.
 */
bool suture_tidy_sites(void);
/* Before suture_settle(), which then does not wait for tasks; it may itself, so without a lock. */
void suture_first_direct(void);
/* Gives at most so many functions their direct calls; true: there are more. */
bool suture_settle(size_t limit);
bool suture_is_settled(struct list_head *objects);
/* What runs for callers on the other side; NULL: the original. */
struct suture_redirect *suture_version_below(struct suture_redirect *redirect);

#endif /* _SUTURE_REDIRECT_H */
