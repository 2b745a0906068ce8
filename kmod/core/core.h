/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the core share. A patch module describes itself by struct suture_patch, which
 * stays as it is; all that the core adds lives in the structures below.
 *
 *	core.c		registration: enable, disable, replace, let go
 *	transition.c	what all models share: sides, begin, complete, reverse, force
 *	stop.c		the three models
 *	lazy.c
 *	hybrid.c
 *	borders.c	where tasks, CPUs and new tasks are caught on their way
 *	stacks.c	is a task inside replaced code
 *	redirect.c	calls from the old function to the new one (ftrace)
 *	objects.c	modules that come and go
 *	binding.c	addresses of symbols, relocations
 *	kernel_symbols.c  functions of the kernel that it does not export
 *	states.c, shadow.c, sysfs.c
 *
 * Its words beside those of the kernel's livepatch:
 *
 *	patch, as described		suture_patch		klp_patch
 *	patch, as enabled		suture_live		klp_patch
 *	object				suture_live_object	klp_object
 *	function of a patch		suture_redirect		klp_func
 *	old function, its versions	suture_site		klp_ops
 *	back to the original		redirect without func	klp_func.nop
 *	side of a task			suture_task_side()	task_struct.patch_state
 *	not on its side yet		left			TIF_PATCH_PENDING
 *	all to the other side		start(), finished()	klp_try_complete_transition()
 *	get going who stays behind	nudge			klp_send_signals()
 *	go on whoever stays behind	force			klp_force_transition()
 *	entry by the handler		hooked			(always)
 *	entry by a direct call		settled			-
 *
 * Locking: suture_mutex covers all that is declared here and in the files' static variables, the
 * lists and the room for entries and for who is busy among it, and is held by whoever calls a
 * function of another file, but where it is said otherwise there. The exceptions:
 *
 *  - The handler takes no lock. It reads sites, versions and sides with preemption off, which
 *    suture_synchronize() waits for.
 *  - The parts of a patch (objects, redirects) are made before it is in the list and in sysfs, and
 *    freed after it has left both: nobody else sees them then, and no lock is held.
 *  - The side of a task is written by the task at its border, or while it is pinned.
 *  - What sysfs shows as one number is read with READ_ONCE().
 *  - Waiting for all tasks (RCU-tasks) is done with nothing held.
 */
#ifndef _SUTURE_CORE_H
#define _SUTURE_CORE_H

#include <linux/ftrace.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "suture_patch.h"

#undef pr_fmt
#define pr_fmt(fmt) "suture: " fmt

struct suture_model;
struct tracepoint;

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

/* A patch that has been enabled and not let go yet. */
struct suture_live {
	struct kobject kobj;
	struct suture_patch *patch;
	struct list_head objects;
	struct list_head node;		/* in suture_patches, lowest first */
	const struct suture_model *model;
	bool enabled;
	bool forced;			/* its module stays in memory for ever */
	u64 pause_ns;
	u64 transition_ns;
	struct work_struct free_work;
	struct rcu_head tasks_passed;
};

/* A version of a function that tasks may have to leave: [start, end). */
struct suture_range {
	unsigned long start;
	unsigned long end;
	const char *name;
};

struct suture_ranges {
	struct suture_range *range;	/* sorted by start, never overlapping */
	size_t count;
	size_t room;
};

/*
 * How a machine gets from one side to the other. All are called with suture_mutex held, but for
 * patched_side().
 */
struct suture_model {
	const char *name;
	/*
	 * The side that the caller of a function in transition runs on: true, the patched one.
	 * Called by the ftrace handler, in any context, with preemption off.
	 */
	bool (*patched_side)(void);
	/* All callers to one side, before any of them can see a version in transition. */
	int (*begin)(bool patched);
	/* Gets them going to the other side. An error means that all are where they were. */
	int (*start)(void);
	/* Moves who can be moved; true: all are on the other side. */
	bool (*finished)(void);
	/* After the last one has switched, or where none was to. */
	void (*end)(void);
	/* The last three are NULL where a transition never stays open. */
	void (*nudge)(void);
	void (*force)(void);		/* all, wherever they are */
	ssize_t (*blocking)(char *page);
};

extern const struct suture_model suture_stop_model;
extern const struct suture_model suture_lazy_model;
extern const struct suture_model suture_hybrid_model;

/* The one transition that may be under way; written with suture_mutex held. */
struct suture_transition {
	struct suture_live *live;	/* NULL: none */
	const struct suture_model *model;
	bool to_patched;		/* the side that it goes to */
	bool replacing;			/* it began as the enabling of a replace patch */
	u64 began;			/* ktime, ns */
	struct suture_ranges ranges;	/* of what is left */
};

extern struct suture_transition suture_transition;
extern struct mutex suture_mutex;
extern struct list_head suture_patches;

static inline const char *suture_name(const struct suture_live *live)
{
	return live->patch->mod->name;
}

static inline const char *suture_object_name(const struct suture_live_object *object)
{
	return object->name ?: "vmlinux";
}

#define suture_for_each_object(live, object) \
	list_for_each_entry(object, &(live)->objects, node)
#define suture_for_each_redirect(object, redirect) \
	list_for_each_entry(redirect, &(object)->redirects, node)

/* core.c */
int suture_disable(struct suture_live *live);
/* Takes it off the list; its module may go once nobody is left in it. */
void suture_let_go(struct suture_live *live);
/* The patches that the live one has taken over: first none of their versions runs any more, ... */
void suture_unpatch_replaced(struct suture_live *live);
/* ... then, when no handler can see them, they go. */
void suture_let_go_replaced(struct suture_live *live);
const struct suture_model *suture_find_model(const char *name);
extern const struct suture_model *suture_default_model;
extern struct workqueue_struct *suture_wq;

/* transition.c */
/* 0: it is under way or over. An error: nothing has changed. */
int suture_transition_run(struct suture_live *live, bool to_patched);
int suture_transition_reverse(void);
void suture_transition_force(void);
/* An object of the patch in transition has come or gone. */
int suture_transition_refresh(void);
/* Settles what can be settled, and tidies, when nobody has to wait for it. */
void suture_settle_later(void);
void suture_transition_exit(void);
bool suture_kernel_in_transition(void);	/* the kernel's own livepatch */

/* stop.c: what it found in the way when it gave up last. */
ssize_t suture_stop_blocking(struct suture_live *live, char *page);
/* The patch is about to go. */
void suture_stop_forget(const struct suture_live *live);

/* borders.c */
int suture_borders_init(void);
void suture_borders_exit(void);
/* begin(), start() and end() of a model whose callers are tasks. */
int suture_tasks_begin(bool patched);
int suture_tasks_start(void);
void suture_tasks_end(void);
extern struct tracepoint *suture_sched_switch;
void suture_each_cpu(work_func_t function);
void suture_synchronize(void);
/* All tasks, the idle ones, too, while none is born or goes; the function may not sleep. */
void suture_visit_tasks(void (*fn)(struct task_struct *task, void *argument), void *argument);
/*
 * The same, for functions that take long: tasks come and go meanwhile. Each that is there all the
 * while is visited, others may be.
 */
void suture_look_at_tasks(void (*fn)(struct task_struct *task, void *argument), void *argument);
bool suture_task_side(const struct task_struct *task);
void suture_task_set_side(struct task_struct *task, bool patched);
/* The idle tasks of CPUs that are off, which run nothing. */
void suture_switch_offline(void);
void suture_tasks_set_all(bool patched);
size_t suture_tasks_left(void);
/*
 * The function for each task, and once more for those that were running, from a thread of their
 * CPU. True: none is left then.
 */
bool suture_try_tasks(void (*fn)(struct task_struct *task));
void suture_tasks_nudge(void);
ssize_t suture_tasks_blocking(char *page);

/* stacks.c: the task must stand still, or be the current one. NULL: it is outside. */
const struct suture_range *suture_task_inside(struct task_struct *task,
					      const struct suture_ranges *ranges);
/* Of a task that may run: -EBUSY while it does, 1 inside (then *where), 0 outside. */
int suture_task_check(struct task_struct *task, const struct suture_ranges *ranges,
		      const struct suture_range **where);
void suture_task_switch(struct task_struct *task);
void suture_ranges_free(struct suture_ranges *ranges);
/* What is left when the patch is enabled or disabled, into empty ranges. */
int suture_ranges_left(struct suture_ranges *ranges, struct suture_live *live, bool to_patched);

/* redirect.c */
void suture_redirects_exit(void);
/* Puts the versions of the objects' functions on top; all, or none and an error. */
int suture_patch_objects(struct suture_live_object **objects, size_t count, bool transition);
/* Makes the patch's versions depend on the caller, before they are put into transition. */
int suture_hook_patch(struct suture_live *live);
/* Its versions may still be seen until suture_synchronize(). */
void suture_unpatch_object(struct suture_live_object *object);
/* Whether functions of that module are hooked or settled, if only because nobody has tidied yet. */
bool suture_has_sites_in(const char *module);
/* Lets go of hooks that are not needed, and of functions that have no version any more. */
void suture_tidy_sites(void);
/* Before suture_settle(), which then does not wait for tasks; it may itself, so without a lock. */
void suture_first_direct(void);
/* Gives at most so many functions their direct calls; true: there are more. */
bool suture_settle(size_t limit);
bool suture_is_settled(struct suture_live *live);
/* What runs for callers on the other side; NULL: the original. */
struct suture_redirect *suture_version_below(struct suture_redirect *redirect);

/* objects.c */
int suture_objects_init(void);
void suture_objects_exit(void);
/*
 * A module that was in its init function when the core was loaded runs, and may be inside of its
 * functions, and nobody tells when: so its init is waited for. Lets go of suture_mutex meanwhile.
 * -EINTR, or -EBUSY where it takes too long.
 */
int suture_wait_for_inits(struct suture_live *live);
/* Finds the functions of an object that is there, and binds its relocations. */
int suture_prepare_object(struct suture_live_object *object);

/* binding.c */
int suture_find_symbol(const struct suture_symbol *symbol, const struct suture_patch *patch,
		       unsigned long *address);
/* Checks all symbols of the relocations, then writes them. */
int suture_bind(const struct suture_patch *patch, const struct suture_relocation *relocations,
		size_t count);

/* states.c */
bool suture_states_fit(const struct suture_patch *patch);

/* shadow.c */
void suture_shadow_exit(void);

/* sysfs.c */
int suture_sysfs_init(void);
void suture_sysfs_exit(void);
void suture_init_live(struct suture_live *live);
void suture_init_object(struct suture_live_object *object);
void suture_init_redirect(struct suture_redirect *redirect);
int suture_sysfs_add(struct suture_live *live);

/* callbacks, objects.c */
int suture_pre_patch(struct suture_live_object *object);
void suture_post_patch(struct suture_live_object *object);
void suture_pre_unpatch(struct suture_live_object *object);
void suture_post_unpatch(struct suture_live_object *object);

#endif /* _SUTURE_CORE_H */
