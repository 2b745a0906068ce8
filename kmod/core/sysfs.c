// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/suture: the names and meanings of Documentation/ABI/testing/sysfs-kernel-livepatch,
 * and what a core with several models has beyond them (docs/consistency.md).
 *
 * A file of a patch may be read or written until its directory is gone, which is after the patch
 * was taken off the list: what writes looks whether it is still there.
 */
#include <linux/slab.h>
#include <linux/stop_machine.h>

#include "core.h"

static struct kobject *root;

static struct suture_live *live_of(struct kobject *kobj)
{
	return container_of(kobj, struct suture_live, kobj);
}

static bool in_transition(struct suture_live *live)
{
	return READ_ONCE(suture_transition.live) == live;
}

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%d\n", READ_ONCE(live_of(kobj)->enabled));
}

static int set_enabled(struct suture_live *live, bool enabled)
{
	if (list_empty(&live->node) || live->enabled == enabled)
		return -EINVAL;
	if (in_transition(live))
		return suture_transition_reverse();
	return enabled ? -EINVAL : suture_disable(live);
}

static ssize_t enabled_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			     size_t count)
{
	bool enabled;
	int ret = kstrtobool(text, &enabled);

	if (ret)
		return ret;
	mutex_lock(&suture_mutex);
	ret = set_enabled(live_of(kobj), enabled);
	mutex_unlock(&suture_mutex);
	return ret ?: count;
}

static struct kobj_attribute enabled_attribute = __ATTR_RW(enabled);

static ssize_t transition_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%d\n", in_transition(live_of(kobj)));
}

static struct kobj_attribute transition_attribute = __ATTR_RO(transition);

/* Written 1, where the patch is in a transition that stays open: the function. */
static ssize_t on_open_transition(struct kobject *kobj, const char *text, size_t count,
				  void (*function)(void))
{
	bool yes;
	int ret = kstrtobool(text, &yes);

	if (ret)
		return ret;
	mutex_lock(&suture_mutex);
	if (!yes || !in_transition(live_of(kobj)) || !suture_transition.model->force)
		ret = -EINVAL;
	else
		function();
	mutex_unlock(&suture_mutex);
	return ret ?: count;
}

static ssize_t force_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			   size_t count)
{
	return on_open_transition(kobj, text, count, suture_transition_force);
}

static struct kobj_attribute force_attribute = __ATTR_WO(force);

static void nudge_transition(void)
{
	suture_transition.model->nudge();
}

static ssize_t signal_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			    size_t count)
{
	return on_open_transition(kobj, text, count, nudge_transition);
}

static struct kobj_attribute signal_attribute = __ATTR_WO(signal);

static ssize_t replace_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%u\n", live_of(kobj)->patch->replace);
}

static struct kobj_attribute replace_attribute = __ATTR_RO(replace);

static ssize_t stack_order_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	struct suture_live *live;
	int order = 0;

	mutex_lock(&suture_mutex);
	list_for_each_entry(live, &suture_patches, node) {
		order++;
		if (live == live_of(kobj))
			break;
	}
	mutex_unlock(&suture_mutex);
	return sysfs_emit(page, "%d\n", order);
}

static struct kobj_attribute stack_order_attribute = __ATTR_RO(stack_order);

static ssize_t model_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%s\n", READ_ONCE(live_of(kobj)->model)->name);
}

static ssize_t model_store(struct kobject *kobj, struct kobj_attribute *attr, const char *text,
			   size_t count)
{
	const struct suture_model *model = suture_find_model(text);
	int ret = 0;

	if (!model)
		return -EINVAL;
	mutex_lock(&suture_mutex);
	if (in_transition(live_of(kobj)))
		ret = -EBUSY;
	else
		WRITE_ONCE(live_of(kobj)->model, model);
	mutex_unlock(&suture_mutex);
	return ret ?: count;
}

static struct kobj_attribute model_attribute = __ATTR_RW(model);

static ssize_t blocking_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	struct suture_live *live = live_of(kobj);
	ssize_t length;

	mutex_lock(&suture_mutex);
	if (in_transition(live) && suture_transition.model->blocking)
		length = suture_transition.model->blocking(page);
	else
		length = suture_stop_blocking(live, page);
	mutex_unlock(&suture_mutex);
	return length;
}

/* It looks at stacks, which tells of addresses and makes work. */
static struct kobj_attribute blocking_attribute = __ATTR_RO_MODE(blocking, 0400);

static ssize_t pause_ns_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%llu\n", READ_ONCE(live_of(kobj)->pause_ns));
}

static struct kobj_attribute pause_attribute = __ATTR_RO(pause_ns);

static ssize_t transition_ns_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%llu\n", READ_ONCE(live_of(kobj)->transition_ns));
}

static struct kobj_attribute transition_ns_attribute = __ATTR_RO(transition_ns);

static ssize_t settled_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	bool settled;

	mutex_lock(&suture_mutex);
	settled = suture_is_settled(&live_of(kobj)->objects);
	mutex_unlock(&suture_mutex);
	return sysfs_emit(page, "%d\n", settled);
}

static struct kobj_attribute settled_attribute = __ATTR_RO(settled);

static struct attribute *live_attrs[] = {
	&enabled_attribute.attr,    &transition_attribute.attr,	   &force_attribute.attr,
	&signal_attribute.attr,	    &replace_attribute.attr,	   &stack_order_attribute.attr,
	&model_attribute.attr,	    &blocking_attribute.attr,	   &pause_attribute.attr,
	&transition_ns_attribute.attr, &settled_attribute.attr,	   NULL,
};
ATTRIBUTE_GROUPS(live);

static ssize_t patched_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	const struct suture_live_object *object =
		container_of(kobj, struct suture_live_object, kobj);

	return sysfs_emit(page, "%d\n", READ_ONCE(object->patched));
}

static struct kobj_attribute patched_attribute = __ATTR_RO(patched);

static struct attribute *object_attrs[] = { &patched_attribute.attr, NULL };
ATTRIBUTE_GROUPS(object);

static void release_live(struct kobject *kobj)
{
	kfree(live_of(kobj));
}

static void release_object(struct kobject *kobj)
{
	kfree(container_of(kobj, struct suture_live_object, kobj));
}

static void release_redirect(struct kobject *kobj)
{
	kfree(container_of(kobj, struct suture_redirect, kobj));
}

static const struct kobj_type live_type = {
	.release = release_live,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = live_groups,
};

static const struct kobj_type object_type = {
	.release = release_object,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = object_groups,
};

static const struct kobj_type redirect_type = {
	.release = release_redirect,
	.sysfs_ops = &kobj_sysfs_ops,
};

void suture_init_live(struct suture_live *live)
{
	kobject_init(&live->kobj, &live_type);
}

void suture_init_object(struct suture_live_object *object)
{
	kobject_init(&object->kobj, &object_type);
}

void suture_init_redirect(struct suture_redirect *redirect)
{
	kobject_init(&redirect->kobj, &redirect_type);
}

int suture_sysfs_add(struct suture_live *live)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;
	int ret = kobject_add(&live->kobj, root, "%s", suture_name(live));

	suture_for_each_object(live, object) {
		if (!ret)
			ret = kobject_add(&object->kobj, &live->kobj, "%s",
					  suture_object_name(object));
		suture_for_each_redirect(object, redirect)
			if (!ret)
				ret = kobject_add(&redirect->kobj, &object->kobj, "%s,%lu",
						  redirect->old->name,
						  redirect->old->sympos ?: 1);
	}
	return ret;
}

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%d\n", SUTURE_PATCH_ABI);
}

static struct kobj_attribute abi_attribute = __ATTR_RO(abi);

static ssize_t default_model_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%s\n", READ_ONCE(suture_default_model)->name);
}

static ssize_t default_model_store(struct kobject *kobj, struct kobj_attribute *attr,
				   const char *text, size_t count)
{
	const struct suture_model *model = suture_find_model(text);

	if (!model)
		return -EINVAL;
	WRITE_ONCE(suture_default_model, model);
	return count;
}

static struct kobj_attribute default_model_attribute = __ATTR_RW(default_model);

static int do_nothing(void *unused)
{
	return 0;
}

/*
 * The floor of what the stop model can do on this machine: measured, by stopping it, when 1 is
 * written; then read. 0: it has not been.
 */
static u64 empty_pause;

static ssize_t empty_pause_ns_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	return sysfs_emit(page, "%llu\n", READ_ONCE(empty_pause));
}

static ssize_t empty_pause_ns_store(struct kobject *kobj, struct kobj_attribute *attr,
				    const char *text, size_t count)
{
	u64 began;
	bool yes;
	int ret = kstrtobool(text, &yes);

	if (ret || !yes)
		return ret ?: -EINVAL;
	began = ktime_get_ns();
	ret = stop_machine(do_nothing, NULL, cpu_online_mask);
	if (ret)
		return ret;
	WRITE_ONCE(empty_pause, ktime_get_ns() - began);
	return count;
}

static struct kobj_attribute empty_pause_attribute =
	__ATTR(empty_pause_ns, 0600, empty_pause_ns_show, empty_pause_ns_store);

static const struct attribute *const root_attributes[] = {
	&abi_attribute.attr, &default_model_attribute.attr, &empty_pause_attribute.attr, NULL,
};

int suture_sysfs_init(void)
{
	int ret;

	root = kobject_create_and_add("suture", kernel_kobj);
	if (!root)
		return -ENOMEM;
	ret = sysfs_create_files(root, root_attributes);
	if (ret)
		kobject_put(root);
	return ret;
}

void suture_sysfs_exit(void)
{
	kobject_put(root);
}
