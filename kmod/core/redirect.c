// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: calls of an old function must reach one of its new versions, chosen by who calls while
 * a transition is under way, and at full speed afterwards.
 *
 * Method: each old function has one site, with the stack of its versions. While a version on it
 * is in transition the function's entry is hooked: it goes through an ftrace_ops, of which one
 * serves all sites that were hooked together, so that any number of functions takes one pass over
 * the kernel's text. Its handler finds the site by the address and picks the version. Once no
 * version is in transition the site is settled: a direct call of its own takes the entry straight
 * to the entry thunk of the top version, and the hook is taken off. Both ways lead to the same
 * version while they overlap, so no call slips through in between.
 *
 * Invariants:
 *  - A site with versions is hooked or settled.
 *  - The handler sees a version only after its `transition` is set (list_add_rcu()), and the
 *    caller's side only after `transition` (the read barrier), which begin() wrote before it.
 *  - A registered ops has a filter: an empty one would mean every function of the kernel.
 *  - Nobody else redirects an entry that is ours: a hook is IPMODIFY, a direct call refuses to
 *    share.
 *  - Giving back needs no memory. Where the kernel needs some and has none, a site stays hooked
 *    without versions, which changes nothing for its callers, until the next time.
 *  - Nobody waits for all tasks with suture_mutex held: a module that goes takes its sites along at
 *    once, and what tasks may still be in is freed later.
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/hashtable.h>
#include <linux/slab.h>

#include "compat.h"
#include "cpus.h"
#include "kernel_symbols.h"
#include "log.h"
#include "redirect.h"

/* An ftrace_ops and how many sites it serves. */
struct hook {
	struct ftrace_ops ops;
	size_t sites;
	struct list_head node;		/* in spare_hooks, where it serves none */
	struct rcu_head tasks_passed;
	bool free;			/* of a spare one: no task is in its trampoline any more */
};

struct suture_site {
	unsigned long entry;		/* where ftrace has its call */
	/* For messages, of its own, as patches come and go: the old function and what it is in. */
	char *name;
	char *object;
	struct list_head versions;	/* of suture_redirect.stack_node, top first */
	struct hlist_node hash;		/* readers under RCU */
	struct list_head node;		/* in sites */
	struct hook *hook;		/* NULL: not hooked */
	bool wants_hook;
	bool unsettled;			/* a direct call was refused: not tried again */
	unsigned long direct_target;	/* 0: not settled */
	struct ftrace_ops direct;
	struct rcu_head tasks_passed;
};

static DEFINE_HASHTABLE(site_hash, 10);
static LIST_HEAD(sites);
static size_t nr_sites;
static LIST_HEAD(spare_hooks);

/* Room for the entries of all sites, so that giving them back needs no memory. */
static unsigned long *entries;
static size_t entries_room;

static bool (*patched_side)(void);

void suture_ask_for_side(bool (*function)(void))
{
	WRITE_ONCE(patched_side, function);
}

static struct suture_site *notrace find_site(unsigned long entry)
{
	struct suture_site *site;

	hash_for_each_possible_rcu_notrace(site_hash, site, hash, entry)
		if (site->entry == entry)
			return site;
	return NULL;
}

static void notrace redirect_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				  struct ftrace_regs *fregs)
{
	struct suture_redirect *version;
	struct suture_site *site;
	int bit;

	/* Also turns preemption off, which suture_synchronize() waits for. */
	bit = ftrace_test_recursion_trylock(ip, parent_ip);
	if (WARN_ON_ONCE(bit < 0))
		return;
	site = find_site(ip);
	if (!site)
		goto out;
	version = list_first_or_null_rcu(&site->versions, struct suture_redirect, stack_node);
	if (!version)
		goto out;
	/* Pairs with the write barrier of suture_transition_run(). */
	smp_rmb();
	if (unlikely(READ_ONCE(version->transition))) {
		/* Likewise: the side was set before the version was put into transition. */
		smp_rmb();
		if (!READ_ONCE(patched_side)()) {
			version = list_entry_rcu(version->stack_node.next, struct suture_redirect,
						 stack_node);
			if (&version->stack_node == &site->versions)
				goto out;
		}
	}
	if (version->func)
		suture_set_ip(fregs, (unsigned long)version->func->new_func);
out:
	ftrace_test_recursion_unlock(bit);
}

/*
 * Registering a hook asks the direct calls of the same functions whether they agree, and names
 * nobody: so it is remembered when it is this very core that asks.
 */
static struct task_struct *registering;

static int __maybe_unused may_share(struct ftrace_ops *ops, enum ftrace_ops_cmd command)
{
	if (command == FTRACE_OPS_CMD_ENABLE_SHARE_IPMODIFY_PEER &&
	    READ_ONCE(registering) != current)
		return -EBUSY;
	return 0;
}

/* Newer kernels also say at which address; not their version tells, but the type. */
static int __maybe_unused may_share_at(struct ftrace_ops *ops, unsigned long entry,
				       enum ftrace_ops_cmd command)
{
	return may_share(ops, command);
}

#define ASKED_AT_ADDRESS \
	__builtin_types_compatible_p(ftrace_ops_func_t, typeof(may_share_at) *)

static int reserve_entries(size_t more)
{
	size_t room = max(nr_sites + more, 2 * entries_room);
	unsigned long *wider;

	if (nr_sites + more <= entries_room)
		return 0;
	wider = kvmalloc_array(room, sizeof(*wider), GFP_KERNEL);
	if (!wider)
		return -ENOMEM;
	kvfree(entries);
	entries = wider;
	entries_room = room;
	return 0;
}

static struct hook *get_hook(void)
{
	struct hook *hook;

	list_for_each_entry(hook, &spare_hooks, node) {
		if (READ_ONCE(hook->free)) {
			list_del(&hook->node);
			return hook;
		}
	}
	hook = kzalloc(sizeof(*hook), GFP_KERNEL);
	if (!hook)
		return NULL;
	hook->ops.func = redirect_call;
	hook->ops.flags = FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT;
	if (!IS_ENABLED(CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS))
		hook->ops.flags |= FTRACE_OPS_FL_SAVE_REGS;
	return hook;
}

/* Of one that has got to no function. */
static void put_hook(struct hook *hook)
{
	hook->free = true;
	list_add(&hook->node, &spare_hooks);
}

/* Of a hook that is at no function. */
static int register_hook(struct hook *hook, unsigned long *ips, unsigned int count)
{
	int ret = ftrace_set_filter_ips(&hook->ops, ips, count, 0, 1);

	if (ret)
		return ret;
	WRITE_ONCE(registering, current);
	ret = register_ftrace_function(&hook->ops);
	WRITE_ONCE(registering, NULL);
	return ret;
}

static void spare_hook_after_tasks(struct rcu_head *head)
{
	WRITE_ONCE(container_of(head, struct hook, tasks_passed)->free, true);
}

/*
 * Takes a hook off all of its functions. ftrace would wait for all tasks, as one may be in the
 * ops' trampoline, which it frees then (DYNAMIC), and keep modules from coming and going meanwhile.
 * Without that it waits for nobody: who is in the trampoline, or walks over the ops in the list of
 * all, finds the handler and the ops with its filter as they were. It is used again, with its
 * trampoline, when all tasks have passed; so there are no more than were needed at one time.
 */
static int retire_hook(struct hook *hook)
{
	int ret;

	hook->ops.flags &= ~FTRACE_OPS_FL_DYNAMIC;
	ret = unregister_ftrace_function(&hook->ops);
	if (ret)
		return ret;
	hook->free = false;
	list_add(&hook->node, &spare_hooks);
	call_rcu_tasks(&hook->tasks_passed, spare_hook_after_tasks);
	return 0;
}

/* Whether those sites can be hooked: 0, or why not. */
static int try_to_hook(unsigned long *ips, size_t count)
{
	struct hook *hook = get_hook();
	int ret;

	if (!hook)
		return -ENOMEM;
	ret = register_hook(hook, ips, count);
	if (ret)
		put_hook(hook);
	else if (retire_hook(hook))
		/* ftrace is dead and keeps it, so what it points to must stay. */
		__module_get(THIS_MODULE);
	return ret;
}

/* Which of the sites cannot be hooked, for the log: one is found by halves. */
static void name_taken(size_t count)
{
	size_t first = 0, half;
	struct suture_site *site;
	int ret;

	for (; count > 1; count = half) {
		half = count / 2;
		ret = try_to_hook(&entries[first], half);
		if (ret == -ENOMEM)
			return;
		if (!ret) {
			first += half;
			half = count - half;
		}
	}
	ret = try_to_hook(&entries[first], 1);
	if (!ret || ret == -ENOMEM)
		return;
	site = find_site(entries[first]);
	pr_err("failed to register ftrace handler for function '%s' (%d)\n", site->name, ret);
	if (ret == -EBUSY)
		pr_err("the kernel's livepatch or another tracer has it, or ftrace is off\n");
	pr_err("failed to patch object '%s'\n", site->object);
}

static bool needs_hook(const struct suture_site *site)
{
	return site->wants_hook && !site->hook;
}

static bool has_needless_hook(const struct suture_site *site)
{
	return !site->wants_hook && site->hook;
}

/* Hooks the sites that want it; all or none. */
static int hook_sites(void)
{
	struct suture_site *site;
	struct hook *hook;
	size_t count = 0;
	int ret;

	list_for_each_entry(site, &sites, node)
		if (needs_hook(site))
			entries[count++] = site->entry;
	if (!count)
		return 0;
	hook = get_hook();
	if (!hook)
		return -ENOMEM;
	ret = register_hook(hook, entries, count);
	if (ret) {
		put_hook(hook);
		if (ret != -ENOMEM)
			name_taken(count);
		return ret;
	}
	hook->sites = count;
	list_for_each_entry(site, &sites, node)
		if (needs_hook(site))
			site->hook = hook;
	return 0;
}

/* Takes the sites off one hook that do not want it any more. */
static void drop_from_hook(struct hook *hook)
{
	struct suture_site *site;
	size_t count = 0;
	int ret;

	list_for_each_entry(site, &sites, node)
		if (site->hook == hook && has_needless_hook(site))
			entries[count++] = site->entry;
	if (count == hook->sites)
		ret = retire_hook(hook);
	else
		ret = ftrace_set_filter_ips(&hook->ops, entries, count, 1, 0);
	if (ret)
		return;
	list_for_each_entry(site, &sites, node)
		if (site->hook == hook && has_needless_hook(site))
			site->hook = NULL;
	hook->sites -= count;
}

static void unhook_sites(void)
{
	struct hook *last = NULL;
	struct suture_site *site;

	list_for_each_entry(site, &sites, node) {
		/* A hook that could not be changed is not tried for each of its sites. */
		if (!has_needless_hook(site) || site->hook == last)
			continue;
		last = site->hook;
		drop_from_hook(last);
	}
}

/* Always there to be hooked or called directly, and never called. */
static noinline void nobodys_function(void)
{
	barrier();
}

static struct ftrace_ops first_direct;

static unsigned long nobodys_entry(void)
{
	return static_call(suture_ftrace_location)((unsigned long)nobodys_function);
}

static int register_direct(struct ftrace_ops *ops, unsigned long entry, unsigned long target)
{
	int ret;

	memset(ops, 0, sizeof(*ops));
	ops->ops_func = __builtin_choose_expr(ASKED_AT_ADDRESS, may_share_at, may_share);
	ret = ftrace_set_filter_ip(ops, entry, 0, 0);
	if (ret)
		return ret;
	ret = suture_register_direct(ops, target);
	if (ret)
		ftrace_free_filter(ops);
	return ret;
}

/*
 * Where the kernel has no direct call yet, the first one makes ftrace wait for all tasks, whoever
 * asks for it. So the first one is this, which is never called.
 */
void suture_first_direct(void)
{
	if (!first_direct.func)
		register_direct(&first_direct, nobodys_entry(), (unsigned long)nobodys_function);
}

static int settle_site(struct suture_site *site, unsigned long target)
{
	int ret = register_direct(&site->direct, site->entry, target);

	if (ret)
		return ret;
	/* sysctl kernel.ftrace_enabled=0 would let the old function run. */
	site->direct.flags |= FTRACE_OPS_FL_PERMANENT;
	site->direct_target = target;
	return 0;
}

/* Its calls are to go through the handler again, or it has no version any more. */
static bool needs_unsettling(const struct suture_site *site)
{
	return site->direct_target && (site->wants_hook || list_empty(&site->versions));
}

static int unsettle_site(struct suture_site *site)
{
	int ret;

	site->direct.flags &= ~FTRACE_OPS_FL_DYNAMIC;
	ret = suture_unregister_direct(&site->direct, site->direct_target);
	if (!ret)
		site->direct_target = 0;
	return ret;
}

/*
 * ftrace would wait for all tasks after each of them, as for any ops that may be freed. Without
 * that (DYNAMIC) it waits for nobody, and takes the ops' function and filter away from callers that
 * are walking the list of all ops, of whatever function. So the walkers are told to pass it by
 * (STUB), those that began before are waited for, once for all sites, and then it goes. Meanwhile
 * the hook leads to the same version; a site without one is called directly, not by the list. The
 * ops' own memory is there until free_sites() has waited.
 */
static int unsettle_sites(void)
{
	struct suture_site *site;
	bool any = false;
	int ret = 0;

	list_for_each_entry(site, &sites, node) {
		if (needs_unsettling(site)) {
			site->direct.flags |= FTRACE_OPS_FL_STUB;
			any = true;
		}
	}
	if (!any)
		return 0;
	suture_synchronize();
	list_for_each_entry(site, &sites, node)
		if (!ret && needs_unsettling(site))
			ret = unsettle_site(site);
	return ret;
}

/* A kprobe inside would go on watching code that nobody runs any more. */
static int check_probes(const struct suture_redirect *redirect)
{
	unsigned long address;
	bool probed = false;

	for (address = redirect->old_address;
	     address < redirect->old_address + redirect->old_size && !probed; address++) {
		preempt_disable();
		probed = static_call(suture_get_kprobe)((void *)address) != NULL;
		preempt_enable();
	}
	if (probed)
		pr_err("'%s' has a kprobe in it\n", redirect->old->name);
	return probed ? -EBUSY : 0;
}

static void free_site(struct suture_site *site)
{
	kfree(site->name);
	kfree(site->object);
	kfree(site);
}

static struct suture_site *get_site(struct suture_redirect *redirect)
{
	unsigned long entry = static_call(suture_ftrace_location)(redirect->old_address);
	struct suture_site *site;

	if (!entry) {
		pr_err("'%s' has no ftrace entry\n", redirect->old->name);
		return ERR_PTR(-EINVAL);
	}
	site = find_site(entry);
	if (site)
		return site;
	site = kzalloc(sizeof(*site), GFP_KERNEL);
	if (!site)
		return ERR_PTR(-ENOMEM);
	site->entry = entry;
	site->name = kstrdup(redirect->old->name, GFP_KERNEL);
	site->object = kstrdup(redirect->old->object ?: "vmlinux", GFP_KERNEL);
	if (!site->name || !site->object) {
		free_site(site);
		return ERR_PTR(-ENOMEM);
	}
	INIT_LIST_HEAD(&site->versions);
	hash_add_rcu(site_hash, &site->hash, entry);
	list_add_tail(&site->node, &sites);
	nr_sites++;
	return site;
}

static int get_sites(struct suture_live_object *object)
{
	struct suture_redirect *redirect;
	size_t count = 0;
	int ret;

	suture_for_each_redirect(object, redirect)
		count++;
	ret = reserve_entries(count);
	if (ret)
		return ret;
	suture_for_each_redirect(object, redirect) {
		struct suture_site *site;

		ret = check_probes(redirect);
		if (ret)
			return ret;
		site = get_site(redirect);
		if (IS_ERR(site))
			return PTR_ERR(site);
		site->wants_hook = true;
		site->unsettled = false;
		redirect->site = site;
	}
	return 0;
}

static void push_versions(struct suture_live_object *object, bool transition)
{
	struct suture_redirect *redirect;

	suture_for_each_redirect(object, redirect) {
		WRITE_ONCE(redirect->transition, transition);
		list_add_rcu(&redirect->stack_node, &redirect->site->versions);
	}
	object->patched = true;
}

/* Of a patch that is refused: nobody else should have to hook those sites for it. */
static void forget_wishes(void)
{
	struct suture_site *site;

	list_for_each_entry(site, &sites, node)
		if (!site->hook)
			site->wants_hook = false;
}

int suture_patch_objects(struct suture_live_object **objects, size_t count, bool transition)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < count && !ret; i++)
		ret = get_sites(objects[i]);
	if (!ret)
		ret = hook_sites();
	if (ret)
		forget_wishes();
	else
		ret = unsettle_sites();
	for (i = 0; i < count && !ret; i++)
		push_versions(objects[i], transition);
	return ret;
}

/* Their sites go through the handler again, which asks for the caller's side. */
int suture_hook_objects(struct list_head *objects)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;
	int ret;

	list_for_each_entry(object, objects, node) {
		if (!object->patched)
			continue;
		suture_for_each_redirect(object, redirect)
			redirect->site->wants_hook = true;
	}
	ret = hook_sites();
	if (ret)
		forget_wishes();
	return ret ?: unsettle_sites();
}

void suture_unpatch_object(struct suture_live_object *object)
{
	struct suture_redirect *redirect;

	suture_for_each_redirect(object, redirect) {
		list_del_rcu(&redirect->stack_node);
		redirect->site = NULL;
	}
	object->patched = false;
}

struct suture_redirect *suture_version_below(struct suture_redirect *redirect)
{
	if (list_is_last(&redirect->stack_node, &redirect->site->versions))
		return NULL;
	return list_next_entry(redirect, stack_node);
}

static void free_site_after_tasks(struct rcu_head *head)
{
	free_site(container_of(head, struct suture_site, tasks_passed));
}

/* Handlers may see them now, and tasks in ftrace's trampolines hold their direct calls' ops. */
static void free_sites(struct list_head *unused)
{
	struct suture_site *site, *next;

	if (list_empty(unused))
		return;
	suture_synchronize();
	list_for_each_entry_safe(site, next, unused, node)
		call_rcu_tasks(&site->tasks_passed, free_site_after_tasks);
}

bool suture_has_sites_in(const char *module)
{
	const struct suture_site *site;

	list_for_each_entry(site, &sites, node)
		if (!strcmp(site->object, module))
			return true;
	return false;
}

bool suture_tidy_sites(void)
{
	struct suture_site *site, *next;
	LIST_HEAD(unused);

	list_for_each_entry(site, &sites, node)
		if (list_empty(&site->versions))
			site->wants_hook = false;
	unsettle_sites();
	unhook_sites();
	list_for_each_entry_safe(site, next, &sites, node) {
		if (!list_empty(&site->versions) || site->hook || site->direct_target)
			continue;
		hash_del_rcu(&site->hash);
		list_move(&site->node, &unused);
		nr_sites--;
	}
	free_sites(&unused);
	return !list_empty(&sites);
}

/* Where the site's direct call should go; 0: it must stay hooked. */
static unsigned long settled_target(struct suture_site *site)
{
	const struct suture_redirect *version;

	list_for_each_entry(version, &site->versions, stack_node)
		if (version->transition)
			return 0;
	version = list_first_entry_or_null(&site->versions, struct suture_redirect, stack_node);
	return version && version->func ? (unsigned long)version->func->entry : 0;
}

bool suture_settle(size_t limit)
{
	struct suture_site *site;
	bool more = false;

	list_for_each_entry(site, &sites, node) {
		unsigned long target = settled_target(site);

		if (!target || site->unsettled)
			continue;
		if (!site->direct_target) {
			if (!limit) {
				more = true;
				break;
			}
			limit--;
			site->unsettled = settle_site(site, target) != 0;
		}
		site->wants_hook = !site->direct_target;
	}
	return more;
}

bool suture_is_settled(struct list_head *objects)
{
	struct suture_live_object *object;
	struct suture_redirect *redirect;

	list_for_each_entry(object, objects, node) {
		if (!object->patched)
			continue;
		suture_for_each_redirect(object, redirect)
			if (!redirect->site->direct_target || redirect->site->hook)
				return false;
	}
	return true;
}

/* ftrace frees the trampoline when the ops leaves a function: so it is given one. */
static bool free_spare_hook(struct hook *hook)
{
	unsigned long entry = nobodys_entry();

	if (register_hook(hook, &entry, 1) || unregister_ftrace_function(&hook->ops))
		return false;
	list_del(&hook->node);
	ftrace_free_filter(&hook->ops);
	kfree(hook);
	return true;
}

void suture_redirects_exit(void)
{
	struct hook *hook, *next;

	if (first_direct.func)
		suture_unregister_direct(&first_direct, (unsigned long)nobodys_function);
	suture_barrier_tasks();
	list_for_each_entry_safe(hook, next, &spare_hooks, node)
		while (!free_spare_hook(hook))
			msleep(100);
	kvfree(entries);
}
