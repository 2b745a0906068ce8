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
 *	objects.c	modules that come and go
 *	states.c, shadow.c, sysfs.c
 *
 * Below them, each with a header of its own, and without knowing of what is above:
 *
 *	redirect.c	calls from the old function to the new one (ftrace)
 *	stacks.c	is a task inside replaced code
 *	binding.c	addresses of symbols, relocations
 *	cpus.c		a thread on each CPU
 *	kernel_symbols.c  functions of the kernel that it does not export
 *	arch/		what differs between architectures
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
 * Locking: suture_mutex covers all that is declared here, in the headers of the files below, and in
 * the files' static variables, the lists and the room for entries and for who is busy among it, and
 * is held by whoever calls a function of another file, but where it is said otherwise there. The
 * exceptions:
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

#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "binding.h"
#include "cpus.h"
#include "log.h"
#include "redirect.h"
#include "stacks.h"
#include "suture_patch.h"

struct suture_model;
struct tracepoint;

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

/*
 * How a machine gets from one side to the other. All are called with suture_mutex held, but for
 * patched_side().
 */
struct suture_model {
	const char *name;
	bool (*patched_side)(void);	/* see suture_ask_for_side() */
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
/* Where it is not on the side that the transition goes to, and is outside of all that is left. */
void suture_task_switch(struct task_struct *task);
/*
 * The function for each task, and once more for those that were running, from a thread of their
 * CPU. True: none is left then.
 */
bool suture_try_tasks(void (*fn)(struct task_struct *task));
void suture_tasks_nudge(void);
ssize_t suture_tasks_blocking(char *page);

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
