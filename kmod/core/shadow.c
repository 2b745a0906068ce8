// SPDX-License-Identifier: GPL-2.0
/*
 * Shadow variables, by the rules of Documentation/livepatch/shadow-vars.rst: data kept beside an
 * object of the kernel, found by the object's address and the variable's id. Readers take no
 * lock; they keep what they get alive by their own means, as with the kernel's.
 */
#include <linux/hashtable.h>
#include <linux/slab.h>

#include "core.h"

struct shadow {
	struct hlist_node node;
	struct rcu_head rcu;
	void *object;
	unsigned long id;
	char data[] __aligned(__alignof__(unsigned long long));
};

static DEFINE_HASHTABLE(shadows, 12);
static DEFINE_SPINLOCK(shadow_lock);

static bool is_of(const struct shadow *shadow, const void *object, unsigned long id)
{
	return shadow->object == object && shadow->id == id;
}

void *suture_shadow_get(void *object, unsigned long id)
{
	struct shadow *shadow;
	void *data = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(shadows, shadow, node, (unsigned long)object) {
		if (is_of(shadow, object, id)) {
			data = shadow->data;
			break;
		}
	}
	rcu_read_unlock();
	return data;
}
EXPORT_SYMBOL_GPL(suture_shadow_get);

/* Sets *exists where there was one already, which is returned. */
static void *get_or_add(void *object, unsigned long id, size_t size, gfp_t gfp,
			suture_shadow_ctor_t ctor, void *ctor_data, bool *exists)
{
	struct shadow *fresh;
	unsigned long flags;
	void *data;
	int ret;

	*exists = true;
	data = suture_shadow_get(object, id);
	if (data)
		return data;
	fresh = kzalloc(struct_size(fresh, data, size), gfp);
	if (!fresh) {
		*exists = false;
		return NULL;
	}
	spin_lock_irqsave(&shadow_lock, flags);
	data = suture_shadow_get(object, id);
	if (data) {
		spin_unlock_irqrestore(&shadow_lock, flags);
		kfree(fresh);
		return data;
	}
	*exists = false;
	fresh->object = object;
	fresh->id = id;
	ret = ctor ? ctor(object, fresh->data, ctor_data) : 0;
	if (!ret)
		hash_add_rcu(shadows, &fresh->node, (unsigned long)object);
	spin_unlock_irqrestore(&shadow_lock, flags);
	if (!ret)
		return fresh->data;
	pr_err("the constructor of a shadow variable (%p, %lx) says %d\n", object, id, ret);
	kfree(fresh);
	return NULL;
}

void *suture_shadow_alloc(void *object, unsigned long id, unsigned long size, unsigned int gfp,
			  suture_shadow_ctor_t ctor, void *ctor_data)
{
	bool exists;
	void *data;

	data = get_or_add(object, id, size, (__force gfp_t)gfp, ctor, ctor_data, &exists);
	if (!exists)
		return data;
	WARN(1, "suture: a second shadow variable (%p, %lx)\n", object, id);
	return NULL;
}
EXPORT_SYMBOL_GPL(suture_shadow_alloc);

void *suture_shadow_get_or_alloc(void *object, unsigned long id, unsigned long size,
				 unsigned int gfp, suture_shadow_ctor_t ctor, void *ctor_data)
{
	bool exists;

	return get_or_add(object, id, size, (__force gfp_t)gfp, ctor, ctor_data, &exists);
}
EXPORT_SYMBOL_GPL(suture_shadow_get_or_alloc);

static void drop(struct shadow *shadow, suture_shadow_dtor_t dtor)
{
	hash_del_rcu(&shadow->node);
	if (dtor)
		dtor(shadow->object, shadow->data);
	kfree_rcu(shadow, rcu);
}

void suture_shadow_free(void *object, unsigned long id, suture_shadow_dtor_t dtor)
{
	struct shadow *shadow;
	unsigned long flags;

	spin_lock_irqsave(&shadow_lock, flags);
	hash_for_each_possible(shadows, shadow, node, (unsigned long)object) {
		if (is_of(shadow, object, id)) {
			drop(shadow, dtor);
			break;
		}
	}
	spin_unlock_irqrestore(&shadow_lock, flags);
}
EXPORT_SYMBOL_GPL(suture_shadow_free);

void suture_shadow_free_all(unsigned long id, suture_shadow_dtor_t dtor)
{
	struct hlist_node *next;
	struct shadow *shadow;
	unsigned long flags;
	int bucket;

	spin_lock_irqsave(&shadow_lock, flags);
	hash_for_each_safe(shadows, bucket, next, shadow, node)
		if (shadow->id == id)
			drop(shadow, dtor);
	spin_unlock_irqrestore(&shadow_lock, flags);
}
EXPORT_SYMBOL_GPL(suture_shadow_free_all);

/* The core goes, and with it all patches: nobody can find these any more. */
void suture_shadow_exit(void)
{
	struct hlist_node *next;
	struct shadow *shadow;
	int bucket;

	hash_for_each_safe(shadows, bucket, next, shadow, node)
		kfree(shadow);
}
