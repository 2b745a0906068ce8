// SPDX-License-Identifier: GPL-2.0
/*
 * Registration: a patch module's description becomes a live patch, is enabled, disabled, replaced
 * and let go. suture_mutex covers all of it; what runs in other contexts says so where it stands.
 *
 * Invariant: an error leaves the machine as it was. A patch's module stays in memory until no
 * task can return into it.
 */
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/panic.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "arch/arch.h"
#include "core.h"
#include "kernel_symbols.h"

/* Of all that changes here. Module loads wait for it. */
DEFINE_MUTEX(suture_mutex);
LIST_HEAD(suture_patches);
struct workqueue_struct *suture_wq;
const struct suture_model *suture_default_model = &suture_hybrid_model;

static const struct suture_model *const models[] = {
	&suture_stop_model, &suture_lazy_model, &suture_hybrid_model,
};

const struct suture_model *suture_find_model(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(models); i++)
		if (sysfs_streq(name, models[i]->name))
			return models[i];
	return NULL;
}

static struct suture_live_object *new_object(struct suture_live *live, const char *name,
					     struct suture_object *described)
{
	struct suture_live_object *object = kzalloc(sizeof(*object), GFP_KERNEL);

	if (!object)
		return NULL;
	object->name = name;
	object->object = described;
	object->live = live;
	INIT_LIST_HEAD(&object->redirects);
	suture_init_object(object);
	list_add_tail(&object->node, &live->objects);
	return object;
}

static struct suture_redirect *new_redirect(struct suture_live_object *object,
					    const struct suture_symbol *old)
{
	struct suture_redirect *redirect = kzalloc(sizeof(*redirect), GFP_KERNEL);

	if (!redirect)
		return NULL;
	redirect->old = old;
	suture_init_redirect(redirect);
	list_add_tail(&redirect->node, &object->redirects);
	return redirect;
}

static int add_functions(struct suture_live_object *object)
{
	size_t i;

	for (i = 0; i < object->object->nr_funcs; i++) {
		const struct suture_func *func = &object->object->funcs[i];
		struct suture_redirect *redirect = new_redirect(object, func->old);

		if (!redirect)
			return -ENOMEM;
		redirect->func = func;
		redirect->old_size = func->old_size;
		redirect->cold_symbol = func->old_cold;
		redirect->old_cold_size = func->old_cold_size;
	}
	return 0;
}

static bool same_name(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static struct suture_live_object *find_object(struct suture_live *live, const char *name)
{
	struct suture_live_object *object;

	suture_for_each_object(live, object)
		if (same_name(object->name, name))
			return object;
	return NULL;
}

static bool has_function(struct suture_live_object *object, const struct suture_symbol *old)
{
	struct suture_redirect *redirect;

	suture_for_each_redirect(object, redirect)
		if (redirect->old->sympos == old->sympos && !strcmp(redirect->old->name, old->name))
			return true;
	return false;
}

/* What an earlier patch changes and this one does not goes back to the original. */
static int add_nops_of(struct suture_live *live, struct suture_live *earlier)
{
	struct suture_live_object *theirs, *ours;
	struct suture_redirect *redirect, *nop;

	suture_for_each_object(earlier, theirs) {
		ours = find_object(live, theirs->name) ?: new_object(live, theirs->name, NULL);
		if (!ours)
			return -ENOMEM;
		suture_for_each_redirect(theirs, redirect) {
			if (has_function(ours, redirect->old))
				continue;
			nop = new_redirect(ours, redirect->old);
			if (!nop)
				return -ENOMEM;
			nop->old_size = redirect->old_size;
			nop->old_cold_size = redirect->old_cold_size;
			nop->cold_symbol = redirect->cold_symbol;
		}
	}
	return 0;
}

static int add_nops(struct suture_live *live)
{
	struct suture_live *earlier;
	int ret = 0;

	list_for_each_entry(earlier, &suture_patches, node)
		if (!ret)
			ret = add_nops_of(live, earlier);
	return ret;
}

static void put_redirect(struct suture_redirect *redirect)
{
	list_del(&redirect->node);
	kobject_put(&redirect->kobj);
}

/*
 * Nothing of it is on any site's stack. Its directory goes before what its files tell of; that
 * waits for who reads or writes them, which takes suture_mutex: so it is not held here.
 */
static void free_objects(struct suture_live *live)
{
	struct suture_live_object *object, *next_object;
	struct suture_redirect *redirect, *next;

	if (live->kobj.state_in_sysfs)
		kobject_del(&live->kobj);
	list_for_each_entry_safe(object, next_object, &live->objects, node) {
		list_for_each_entry_safe(redirect, next, &object->redirects, node)
			put_redirect(redirect);
		list_del(&object->node);
		kobject_put(&object->kobj);
	}
}

static void free_live(struct suture_live *live)
{
	free_objects(live);
	kobject_put(&live->kobj);
}

static void let_module_go(struct work_struct *work)
{
	struct suture_live *live = container_of(work, struct suture_live, free_work);

	/* So that others may have its functions as soon as the module is gone. */
	mutex_lock(&suture_mutex);
	if (!suture_transition.live)
		suture_tidy_sites();
	mutex_unlock(&suture_mutex);
	if (!live->forced)
		module_put(live->patch->mod);
	kobject_put(&live->kobj);
}

static void let_go_after_tasks(struct rcu_head *head)
{
	struct suture_live *live = container_of(head, struct suture_live, tasks_passed);

	INIT_WORK(&live->free_work, let_module_go);
	queue_work(suture_wq, &live->free_work);
}

/*
 * Nobody was inside of the patch's code when its transition ended, but for tasks on the last
 * steps of their lives, which no list of tasks holds any more: those RCU waits for.
 */
static void retire(struct work_struct *work)
{
	struct suture_live *live = container_of(work, struct suture_live, free_work);

	free_objects(live);
	call_rcu_tasks(&live->tasks_passed, let_go_after_tasks);
}

void suture_let_go(struct suture_live *live)
{
	list_del_init(&live->node);
	suture_stop_forget(live);
	queue_work(suture_wq, &live->free_work);
}

void suture_unpatch_replaced(struct suture_live *live)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;
	struct suture_live *earlier;

	list_for_each_entry(earlier, &suture_patches, node) {
		if (earlier == live)
			break;
		earlier->enabled = false;
		suture_for_each_object(earlier, object)
			if (object->patched)
				suture_unpatch_object(object);
	}
	suture_for_each_object(live, object) {
		if (!object->patched)
			continue;
		suture_for_each_redirect(object, redirect)
			if (!redirect->func)
				list_del_rcu(&redirect->stack_node);
	}
}

void suture_let_go_replaced(struct suture_live *live)
{
	struct suture_live_object *object, *next_object;
	struct suture_redirect *redirect, *next;
	struct suture_live *earlier, *next_live;

	list_for_each_entry_safe(earlier, next_live, &suture_patches, node) {
		if (earlier == live)
			break;
		suture_let_go(earlier);
	}
	list_for_each_entry_safe(object, next_object, &live->objects, node) {
		list_for_each_entry_safe(redirect, next, &object->redirects, node)
			if (!redirect->func)
				put_redirect(redirect);
		if (object->object)
			continue;
		list_del(&object->node);
		kobject_put(&object->kobj);
	}
}

static struct suture_live *create_live(struct suture_patch *patch,
				       const struct suture_model *model)
{
	struct suture_live *live = kzalloc(sizeof(*live), GFP_KERNEL);
	size_t i;

	if (!live)
		return NULL;
	live->patch = patch;
	live->model = model;
	INIT_LIST_HEAD(&live->objects);
	INIT_LIST_HEAD(&live->node);
	INIT_WORK(&live->free_work, retire);
	suture_init_live(live);
	for (i = 0; i < patch->nr_objects; i++) {
		struct suture_object *described = &patch->objects[i];
		struct suture_live_object *object = new_object(live, described->name, described);

		if (!object || add_functions(object)) {
			free_live(live);
			return NULL;
		}
	}
	return live;
}

/* Everything before the first caller may see the patch. */
static int prepare(struct suture_live *live)
{
	struct suture_live_object *object;
	int ret = 0;

	if (suture_transition.live) {
		pr_err("'%s': the patch '%s' is in transition\n", suture_name(live),
		       suture_name(suture_transition.live));
		return -EBUSY;
	}
	if (suture_kernel_in_transition()) {
		pr_err("'%s': a patch of the kernel's livepatch is in transition\n",
		       suture_name(live));
		return -EBUSY;
	}
	if (!suture_states_fit(live->patch)) {
		pr_err("Livepatch patch (%s) is not compatible with the already installed livepatches.\n",
		       suture_name(live));
		return -EINVAL;
	}
	if (live->patch->replace)
		ret = add_nops(live);
	suture_for_each_object(live, object)
		if (!ret)
			ret = suture_prepare_object(object);
	return ret ?: suture_sysfs_add(live);
}

static int enable(struct suture_live *live)
{
	int ret;

	mutex_lock(&suture_mutex);
	ret = suture_wait_for_inits(live) ?: prepare(live);
	if (!ret) {
		pr_info("enabling patch '%s'\n", suture_name(live));
		list_add_tail(&live->node, &suture_patches);
		ret = suture_transition_run(live, true);
		if (ret) {
			list_del_init(&live->node);
			suture_stop_forget(live);
		}
	}
	mutex_unlock(&suture_mutex);
	return ret;
}

int suture_enable_patch(struct suture_patch *patch, const char *model_name)
{
	const struct suture_model *model;
	struct suture_live *live;
	int ret;

	if (!patch || patch->abi != SUTURE_PATCH_ABI || !patch->mod || !patch->nr_objects) {
		pr_err("a patch module speaks another version of the interface\n");
		return -EINVAL;
	}
	model = model_name ? suture_find_model(model_name) : READ_ONCE(suture_default_model);
	if (!model) {
		pr_err("'%s': there is no model '%s'\n", patch->mod->name, model_name);
		return -EINVAL;
	}
	if (!try_module_get(patch->mod))
		return -ENODEV;
	/* As the loader does for the kernel's own: whoever reads an oops should know. */
	set_bit(TAINT_LIVEPATCH, &patch->mod->taints);
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	live = create_live(patch, model);
	ret = live ? enable(live) : -ENOMEM;
	if (!ret)
		return 0;
	if (live)
		free_live(live);
	module_put(patch->mod);
	return ret;
}
EXPORT_SYMBOL_GPL(suture_enable_patch);

int suture_disable(struct suture_live *live)
{
	if (suture_transition.live || suture_kernel_in_transition())
		return -EBUSY;
	return suture_transition_run(live, false);
}

static int __init suture_init(void)
{
	int ret = suture_find_kernel_symbols();

	if (ret)
		return ret;
	if (suture_kernel_in_transition()) {
		pr_err("a patch of the kernel's livepatch is in transition: try again after it\n");
		return -EBUSY;
	}
	suture_arch_init();
	suture_wq = alloc_workqueue("suture", SUTURE_WQ_PERCPU, 0);
	if (!suture_wq)
		return -ENOMEM;
	ret = suture_cpus_init();
	if (ret)
		goto no_cpus;
	ret = suture_borders_init();
	if (ret)
		goto no_borders;
	ret = suture_sysfs_init();
	if (ret)
		goto no_sysfs;
	ret = suture_objects_init();
	if (!ret)
		return 0;
	suture_sysfs_exit();
no_sysfs:
	suture_borders_exit();
no_borders:
	suture_cpus_exit();
no_cpus:
	destroy_workqueue(suture_wq);
	return ret;
}

/* What could not be given back for want of memory must be gone before this code is. */
static void give_all_back(void)
{
	bool any;

	do {
		mutex_lock(&suture_mutex);
		any = suture_tidy_sites();
		mutex_unlock(&suture_mutex);
		if (any)
			msleep(100);
	} while (any);
}

/* No patch module is there any more, as each uses this one. */
static void __exit suture_exit(void)
{
	suture_objects_exit();
	suture_transition_exit();
	destroy_workqueue(suture_wq);
	give_all_back();
	suture_redirects_exit();
	suture_shadow_exit();
	suture_sysfs_exit();
	suture_borders_exit();
	suture_cpus_exit();
}

module_init(suture_init);
module_exit(suture_exit);
MODULE_DESCRIPTION("Suture's core: live patches under the stop, lazy and hybrid model");
MODULE_LICENSE("GPL");
