// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: take a running machine from one side of a patch to the other under any model, and be
 * able to turn back at any moment, without a caller ever seeing half a patch.
 *
 * Method: the order of the kernel's livepatch (Documentation/livepatch/livepatch.rst). All
 * callers are put on the side that is left; then the patch's versions are put into transition,
 * which makes the handler ask for the caller's side; then the model moves the callers; when the
 * last one has moved the versions leave transition. Work that comes back after growing pauses
 * moves those that stay behind.
 *
 * Memory ordering: what a handler reads, in this order: the version, its `transition`, the
 * caller's side. What is written here, in this order, with a write barrier between: side,
 * `transition`, version (list_add_rcu()). Taken back: first `transition` or the version, then
 * suture_synchronize(), which waits for all handlers that began before, and only then may a side
 * mean something else.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "core.h"
#include "kernel_symbols.h"

#define FIRST_DELAY_MS 5
#define LONGEST_DELAY_MS 1000
#define NUDGE_AFTER_NS (15ULL * NSEC_PER_SEC)
/* Direct calls that are made in one go, as module loads wait meanwhile. */
#define SETTLED_AT_ONCE 16

struct suture_transition suture_transition;

static unsigned int delay_ms;
static u64 nudged_at;

static void work_on(struct work_struct *work);
static DECLARE_DELAYED_WORK(work, work_on);
static void settle_on(struct work_struct *work);
static DECLARE_WORK(settle_work, settle_on);
static struct rcu_head tasks_passed;
static bool waits_for_tasks;

bool suture_kernel_in_transition(void)
{
	return suture_klp_transition_patch && READ_ONCE(*suture_klp_transition_patch);
}

static void set_transition(struct suture_live *live, bool value)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;

	suture_for_each_object(live, object)
		suture_for_each_redirect(object, redirect)
			WRITE_ONCE(redirect->transition, value);
}

static size_t present_objects(struct suture_live *live, struct suture_live_object **objects)
{
	struct suture_live_object *object;
	size_t count = 0;

	suture_for_each_object(live, object) {
		if (!object->present)
			continue;
		if (objects)
			objects[count] = object;
		count++;
	}
	return count;
}

static void unpatch_all(struct suture_live *live)
{
	struct suture_live_object *object;

	suture_for_each_object(live, object)
		if (object->patched)
			suture_unpatch_object(object);
}

static int patch_present(struct suture_live *live)
{
	size_t count = present_objects(live, NULL);
	struct suture_live_object **objects;
	size_t i;
	int ret = 0;

	objects = kcalloc(count + 1, sizeof(*objects), GFP_KERNEL);
	if (!objects)
		return -ENOMEM;
	present_objects(live, objects);
	for (i = 0; i < count && !ret; i++)
		ret = suture_pre_patch(objects[i]);
	if (!ret)
		ret = suture_patch_objects(objects, count, true);
	kfree(objects);
	return ret;
}

static void pre_unpatch_all(struct suture_live *live)
{
	struct suture_live_object *object;

	suture_for_each_object(live, object)
		if (object->patched)
			suture_pre_unpatch(object);
}

static void finish_callbacks(struct suture_live *live, bool patched)
{
	struct suture_live_object *object;

	suture_for_each_object(live, object) {
		if (!object->present)
			continue;
		if (patched)
			suture_post_patch(object);
		else
			suture_post_unpatch(object);
	}
}

/* After the last caller has switched. */
static void leave(bool patched)
{
	struct suture_live *live = suture_transition.live;

	if (!patched) {
		unpatch_all(live);
		suture_synchronize();
		set_transition(live, false);
	} else {
		if (suture_transition.replacing)
			suture_unpatch_replaced(live);
		set_transition(live, false);
		suture_synchronize();
	}
	suture_transition.model->end();
	suture_ranges_free(&suture_transition.ranges);
	finish_callbacks(live, patched);
	suture_transition.live = NULL;
	if (patched && suture_transition.replacing)
		suture_let_go_replaced(live);
	suture_settle_later();
}

static const char *way(bool to_patched)
{
	return to_patched ? "patching" : "unpatching";
}

static void end_transition(void)
{
	struct suture_live *live = suture_transition.live;
	bool patched = suture_transition.to_patched;

	pr_info("'%s': completing %s transition\n", suture_name(live), way(patched));
	leave(patched);
	pr_info("'%s': %s complete\n", suture_name(live), way(patched));
}

static void complete_transition(void)
{
	struct suture_live *live = suture_transition.live;

	live->transition_ns = ktime_get_ns() - suture_transition.began;
	end_transition();
	if (!suture_transition.to_patched)
		suture_let_go(live);
}

/* Nobody has moved: what was there before is there again. */
static void cancel_transition(void)
{
	bool back = !suture_transition.to_patched;

	pr_debug("'%s': canceling %s transition, going to %s\n",
		 suture_name(suture_transition.live), way(!back), back ? "patch" : "unpatch");
	WRITE_ONCE(suture_transition.to_patched, back);
	end_transition();
}

static int start_moving(void)
{
	pr_info("'%s': starting %s transition\n", suture_name(suture_transition.live),
		way(suture_transition.to_patched));
	return suture_transition.model->start();
}

static void try_complete(void)
{
	struct suture_live *live = suture_transition.live;

	if (suture_transition.model->finished()) {
		complete_transition();
		return;
	}
	if (suture_transition.model->nudge && ktime_get_ns() - nudged_at > NUDGE_AFTER_NS) {
		nudged_at = ktime_get_ns();
		pr_notice("'%s': nudging the remaining tasks\n", suture_name(live));
		suture_transition.model->nudge();
	}
	queue_delayed_work(suture_wq, &work, msecs_to_jiffies(delay_ms));
	delay_ms = min(2 * delay_ms, (unsigned int)LONGEST_DELAY_MS);
}

static void work_on(struct work_struct *unused)
{
	mutex_lock(&suture_mutex);
	if (suture_transition.live)
		try_complete();
	mutex_unlock(&suture_mutex);
}

static void settle_on(struct work_struct *unused)
{
	suture_first_direct();
	mutex_lock(&suture_mutex);
	waits_for_tasks = false;
	/* In a transition: at its end. */
	if (!suture_transition.live) {
		if (suture_settle(SETTLED_AT_ONCE))
			suture_settle_later();
		else
			suture_tidy_sites();
	}
	mutex_unlock(&suture_mutex);
}

static void settle_after_tasks(struct rcu_head *unused)
{
	queue_work(suture_wq, &settle_work);
}

/*
 * ftrace makes direct calls and gives up hooks only when each task has slept once, or been in user
 * space, and holds up module loads until then. One that is busy in the kernel does neither, maybe
 * for long, and nobody should have to wait for it: so that is waited for first, with nothing held.
 */
void suture_settle_later(void)
{
	if (waits_for_tasks)
		return;
	waits_for_tasks = true;
	call_rcu_tasks(&tasks_passed, settle_after_tasks);
}

/* Where code of the module may be running: its text, which patched functions are only a part of. */
static int add_module_text(struct suture_ranges *ranges, const struct module *mod)
{
	unsigned long start, size;

	suture_module_text(mod, &start, &size);
	return suture_ranges_add(ranges, start, size, mod->name);
}

static int add_original(struct suture_ranges *ranges, const struct suture_redirect *redirect)
{
	const char *name = redirect->old->name;
	int ret = suture_ranges_add(ranges, redirect->old_address, redirect->old_size, name);

	if (!ret && redirect->old_cold)
		ret = suture_ranges_add(ranges, redirect->old_cold, redirect->old_cold_size, name);
	return ret;
}

static int add_code(struct suture_ranges *ranges, const void *code, unsigned long size,
		    const char *name)
{
	return suture_ranges_add(ranges, (unsigned long)code, size, name);
}

static int add_version(struct suture_ranges *ranges, const struct suture_redirect *version,
		       const struct suture_redirect *redirect)
{
	const struct suture_func *func = version ? version->func : NULL;
	const char *name = redirect->old->name;
	int ret;

	if (!func)
		return add_original(ranges, redirect);
	ret = add_code(ranges, func->new_func, func->new_size, name);
	if (!ret && func->new_cold)
		ret = add_code(ranges, func->new_cold, func->new_cold_size, name);
	if (!ret && func->entry)
		ret = add_code(ranges, func->entry, SUTURE_ENTRY_SIZE, name);
	return ret;
}

/*
 * Enabling leaves the versions below the patch's own. Disabling leaves the patch's: all of its
 * code, as its module may be freed afterwards.
 */
static int find_left(struct suture_ranges *ranges, struct suture_live *live, bool to_patched)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;
	struct suture_live *other;
	int ret = 0;

	suture_for_each_object(live, object) {
		if (!object->patched)
			continue;
		suture_for_each_redirect(object, redirect) {
			if (to_patched)
				ret = add_version(ranges, suture_version_below(redirect), redirect);
			else if (!redirect->func)
				ret = add_original(ranges, redirect);
			if (ret)
				return ret;
		}
	}
	if (!to_patched)
		ret = add_module_text(ranges, live->patch->mod);
	/* The modules of replaced patches go, too. */
	list_for_each_entry(other, &suture_patches, node)
		if (!ret && to_patched && suture_transition.replacing && other != live)
			ret = add_module_text(ranges, other->patch->mod);
	suture_ranges_sort(ranges);
	return ret;
}

/* Where there is no memory for the new ranges, the old ones stay. */
static int renew_ranges(bool to_patched)
{
	struct suture_ranges ranges = {};
	int ret = find_left(&ranges, suture_transition.live, to_patched);

	if (ret) {
		suture_ranges_free(&ranges);
		return ret;
	}
	suture_ranges_free(&suture_transition.ranges);
	suture_transition.ranges = ranges;
	return 0;
}

int suture_transition_refresh(void)
{
	return renew_ranges(suture_transition.to_patched);
}

/* Everything up to the point where callers start to move. */
static int enter(struct suture_live *live, bool to_patched)
{
	int ret;

	if (to_patched) {
		ret = patch_present(live);
		if (ret)
			return ret;
	} else {
		ret = suture_hook_objects(&live->objects);
		if (ret)
			return ret;
		pre_unpatch_all(live);
		set_transition(live, true);
	}
	ret = suture_transition_refresh();
	return ret ?: start_moving();
}

int suture_transition_run(struct suture_live *live, bool to_patched)
{
	const struct suture_model *model = live->model;
	int ret;

	suture_transition.live = live;
	suture_transition.to_patched = to_patched;
	suture_transition.replacing = to_patched && live->patch->replace;
	suture_transition.began = ktime_get_ns();
	pr_debug("'%s': initializing %s transition\n", suture_name(live), way(to_patched));
	suture_transition.model = model;
	suture_ask_for_side(model->patched_side);
	delay_ms = FIRST_DELAY_MS;
	nudged_at = suture_transition.began;
	ret = model->begin(!to_patched);
	if (ret) {
		suture_transition.live = NULL;
		return ret;
	}
	/* The sides before `transition`: pairs with the handler's second read barrier. */
	smp_wmb();
	ret = enter(live, to_patched);
	if (ret) {
		pr_warn("failed to %s patch '%s'\n", to_patched ? "enable" : "disable",
			suture_name(live));
		cancel_transition();
		return ret;
	}
	live->enabled = to_patched;
	try_complete();
	return 0;
}

int suture_transition_reverse(void)
{
	struct suture_live *live = suture_transition.live;
	int ret = renew_ranges(!suture_transition.to_patched);

	if (ret)
		return ret;
	WRITE_ONCE(suture_transition.to_patched, !suture_transition.to_patched);
	live->enabled = suture_transition.to_patched;
	pr_info("'%s': reversing transition from %s to %s\n", suture_name(live),
		way(!live->enabled), way(live->enabled));
	pr_info("'%s': starting %s transition\n", suture_name(live), way(live->enabled));
	/* Who was about to switch at the border has done so, to the one side or to the other. */
	suture_synchronize();
	delay_ms = FIRST_DELAY_MS;
	mod_delayed_work(suture_wq, &work, 0);
	return 0;
}

void suture_transition_force(void)
{
	struct suture_live *live = suture_transition.live;
	struct suture_live *other;

	pr_warn("'%s': forcing the transition\n", suture_name(live));
	suture_transition.model->force();
	/* Somebody may still be inside of what is left, for ever. */
	if (!suture_transition.to_patched)
		live->forced = true;
	else if (suture_transition.replacing)
		list_for_each_entry(other, &suture_patches, node)
			if (other != live)
				other->forced = true;
	mod_delayed_work(suture_wq, &work, 0);
}

void suture_transition_exit(void)
{
	cancel_delayed_work_sync(&work);
	suture_barrier_tasks();
	cancel_work_sync(&settle_work);
}
