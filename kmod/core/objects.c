// SPDX-License-Identifier: GPL-2.0
/*
 * Modules that patches change, and patch modules themselves, as they come and go.
 *
 * A module is patched after its code is in place and before any of it runs, and taken out of the
 * patches before its memory goes (as the kernel's livepatch does). A patch module is bound to the
 * kernel in that same moment, before the kernel reads its tables of jump labels, static calls and
 * tracepoints: hence the notifier's priority.
 */
#include <linux/delay.h>
#include <linux/notifier.h>
#include <linux/slab.h>

#include "core.h"
#include "kernel_symbols.h"

#define INIT_PAUSE_MS 50
#define LONGEST_INIT_MS 30000

/*
 * Modules that have come and whose init function has not returned yet: find_module() does not
 * tell.
 */
struct coming {
	struct list_head node;
	const struct module *mod;
};

static LIST_HEAD(coming_modules);

static bool has_come(const struct module *mod)
{
	struct coming *coming;

	if (mod->state == MODULE_STATE_LIVE)
		return true;
	list_for_each_entry(coming, &coming_modules, node)
		if (coming->mod == mod)
			return true;
	return false;
}

/* It cannot go without the notifier, which waits for suture_mutex. */
static struct module *find_module_now(const char *name)
{
	struct module *mod;

	rcu_read_lock_sched();
	mod = static_call(suture_find_module)(name);
	rcu_read_unlock_sched();
	return mod;
}

static struct module *find_present(const char *name)
{
	struct module *mod = find_module_now(name);

	return mod && has_come(mod) ? mod : NULL;
}

static const char *module_in_early_init(struct suture_live *live)
{
	struct suture_live_object *object;
	const struct module *mod;

	suture_for_each_object(live, object) {
		if (!object->name)
			continue;
		mod = find_module_now(object->name);
		if (mod && mod->state == MODULE_STATE_COMING && !has_come(mod))
			return object->name;
	}
	return NULL;
}

int suture_wait_for_inits(struct suture_live *live)
{
	unsigned int waited_ms = 0;
	const char *name;
	int ret = 0;

	while (!ret && (name = module_in_early_init(live))) {
		if (waited_ms >= LONGEST_INIT_MS) {
			pr_err("'%s': the init function of '%s' runs since before the core was loaded: try again when it has ended\n",
			       suture_name(live), name);
			return -EBUSY;
		}
		mutex_unlock(&suture_mutex);
		if (msleep_interruptible(INIT_PAUSE_MS))
			ret = -EINTR;
		waited_ms += INIT_PAUSE_MS;
		mutex_lock(&suture_mutex);
	}
	return ret;
}

static int find_addresses(struct suture_live_object *object)
{
	const struct suture_patch *patch = object->live->patch;
	struct suture_redirect *redirect;
	int ret;

	suture_for_each_redirect(object, redirect) {
		ret = suture_find_symbol(redirect->old, patch, &redirect->old_address);
		if (!ret && redirect->cold_symbol)
			ret = suture_find_symbol(redirect->cold_symbol, patch, &redirect->old_cold);
		if (ret)
			return ret;
	}
	return 0;
}

static int prepare_present(struct suture_live_object *object, struct module *mod)
{
	int ret = find_addresses(object);

	if (!ret && object->object) {
		ret = suture_bind(object->live->patch, object->object->relocations,
				  object->object->nr_relocations);
		object->object->mod = mod;
	}
	object->present = !ret;
	return ret;
}

int suture_prepare_object(struct suture_live_object *object)
{
	struct module *mod = object->name ? find_present(object->name) : NULL;

	if (object->name && !mod)
		return 0;
	return prepare_present(object, mod);
}

int suture_pre_patch(struct suture_live_object *object)
{
	int ret = 0;

	if (object->object && object->object->callbacks.pre_patch)
		ret = object->object->callbacks.pre_patch(object->object);
	object->pre_patch_done = !ret;
	object->owes_post_patch = !ret;
	if (ret)
		pr_warn("pre-patch callback failed for object '%s'\n", suture_object_name(object));
	return ret;
}

void suture_post_patch(struct suture_live_object *object)
{
	if (object->owes_post_patch && object->object && object->object->callbacks.post_patch)
		object->object->callbacks.post_patch(object->object);
	object->owes_post_patch = false;
}

void suture_pre_unpatch(struct suture_live_object *object)
{
	if (object->pre_patch_done && object->object && object->object->callbacks.pre_unpatch)
		object->object->callbacks.pre_unpatch(object->object);
	object->owes_post_patch = object->pre_patch_done;
}

void suture_post_unpatch(struct suture_live_object *object)
{
	if (object->pre_patch_done && object->object && object->object->callbacks.post_unpatch)
		object->object->callbacks.post_unpatch(object->object);
	object->pre_patch_done = false;
	object->owes_post_patch = false;
}

static void forget_object(struct suture_live_object *object)
{
	struct suture_redirect *redirect;

	suture_for_each_redirect(object, redirect) {
		redirect->old_address = 0;
		redirect->old_cold = 0;
	}
	if (object->object)
		object->object->mod = NULL;
	object->present = false;
}

static void take_object_out(struct suture_live_object *object)
{
	if (object->patched) {
		if (object->live != suture_transition.live)
			suture_pre_unpatch(object);
		pr_notice("reverting patch '%s' on unloading module '%s'\n",
			  suture_name(object->live), object->name);
		suture_unpatch_object(object);
		suture_synchronize();
	}
	suture_post_unpatch(object);
	forget_object(object);
}

static struct suture_live_object *object_of(struct suture_live *live, const char *name)
{
	struct suture_live_object *object;

	suture_for_each_object(live, object)
		if (object->name && !strcmp(object->name, name))
			return object;
	return NULL;
}

static int take_object_in(struct suture_live_object *object, struct module *mod)
{
	bool transition = object->live == suture_transition.live;
	int ret = prepare_present(object, mod);

	if (ret)
		goto refused;
	pr_notice("applying patch '%s' to loading module '%s'\n", suture_name(object->live),
		  object->name);
	ret = suture_pre_patch(object);
	if (!ret)
		ret = suture_patch_objects(&object, 1, transition);
	if (!ret && transition)
		ret = suture_transition_refresh();
	if (!ret && !transition)
		suture_post_patch(object);
	if (!ret)
		return 0;
refused:
	pr_warn("patch '%s' failed for module '%s', refusing to load module '%s'\n",
		suture_name(object->live), mod->name, mod->name);
	return ret;
}

static void module_going(const struct module *mod)
{
	struct suture_live_object *object;
	struct suture_live *live;

	list_for_each_entry_reverse(live, &suture_patches, node) {
		object = object_of(live, mod->name);
		if (object && object->present)
			take_object_out(object);
	}
	/* Also of patches that have gone before; its code will not be there any more. */
	if (!suture_has_sites_in(mod->name))
		return;
	suture_tidy_sites();
	suture_settle_later();
	if (suture_transition.live)
		suture_transition_refresh();
}

static int module_coming(struct module *mod)
{
	struct suture_live_object *object;
	struct suture_live *live;
	int ret = 0;

	list_for_each_entry(live, &suture_patches, node) {
		object = object_of(live, mod->name);
		if (object && !ret)
			ret = take_object_in(object, mod);
	}
	if (ret)
		module_going(mod);
	else
		suture_settle_later();
	return ret;
}

/* A module of Suture's making says so by a description that points back at it. */
static const struct suture_patch *described_by(const struct module *mod)
{
	const struct suture_patch *patch;
	char name[MODULE_NAME_LEN + sizeof(":suture_patch")];

	snprintf(name, sizeof(name), "%s:suture_patch", mod->name);
	patch = (const struct suture_patch *)suture_vmlinux_symbol(name);
	return patch && patch->abi == SUTURE_PATCH_ABI && patch->mod == mod ? patch : NULL;
}

static int remember_coming(const struct module *mod)
{
	struct coming *coming = kmalloc(sizeof(*coming), GFP_KERNEL);

	if (!coming)
		return -ENOMEM;
	coming->mod = mod;
	list_add(&coming->node, &coming_modules);
	return 0;
}

static void forget_coming(const struct module *mod)
{
	struct coming *coming, *next;

	list_for_each_entry_safe(coming, next, &coming_modules, node) {
		if (coming->mod != mod)
			continue;
		list_del(&coming->node);
		kfree(coming);
	}
}

static int on_coming(struct module *mod)
{
	const struct suture_patch *patch = described_by(mod);
	int ret = 0;

	if (patch)
		ret = suture_bind(patch, patch->relocations, patch->nr_relocations);
	if (!ret)
		ret = remember_coming(mod);
	if (!ret)
		ret = module_coming(mod);
	if (ret)
		forget_coming(mod);
	return ret;
}

static int on_module(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *mod = data;
	int ret = 0;

	mutex_lock(&suture_mutex);
	switch (state) {
	case MODULE_STATE_COMING:
		ret = on_coming(mod);
		break;
	case MODULE_STATE_LIVE:
		forget_coming(mod);
		break;
	case MODULE_STATE_GOING:
		forget_coming(mod);
		module_going(mod);
		break;
	}
	mutex_unlock(&suture_mutex);
	return notifier_from_errno(ret);
}

static struct notifier_block module_notifier = {
	.notifier_call = on_module,
	.priority = INT_MAX,
};

int suture_objects_init(void)
{
	return register_module_notifier(&module_notifier);
}

void suture_objects_exit(void)
{
	unregister_module_notifier(&module_notifier);
}
