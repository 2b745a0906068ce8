// SPDX-License-Identifier: GPL-2.0
/*
 * Makes one allocation fail: the nth, after N was written to /proc/fail_alloc, that the task
 * which wrote it makes with a function of the module `of` on its stack. Stock kernels have
 * nothing of the kind (/proc/PID/fail-nth). Reading ends it and gives 1 where one has failed.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/stacktrace.h>
#include <linux/uaccess.h>
#include <linux/version.h>

static char *of = "[suture]";
module_param(of, charp, 0444);

static struct task_struct *victim;
static long left;
static long failed;

/* The allocators that all others end in. */
static const char *const functions[] = {
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	"__kmalloc_noprof", "__kmalloc_cache_noprof", "__kmalloc_node_noprof",
	"__kmalloc_cache_node_noprof", "__kvmalloc_node_noprof", "kmem_cache_alloc_noprof",
	"kmem_cache_alloc_node_noprof", "kmalloc_node_track_caller_noprof", "execmem_alloc",
	"__kmalloc_node_track_caller_noprof",
#else
	"__kmalloc", "kmalloc_trace", "__kmalloc_node", "kmalloc_node_trace", "kvmalloc_node",
	"kmem_cache_alloc", "kmem_cache_alloc_node", "__kmalloc_node_track_caller", "module_alloc",
	"kmem_cache_alloc_trace",
#endif
};

static void *no_memory(void)
{
	return NULL;
}

static bool from_module(void)
{
	static char where[KSYM_SYMBOL_LEN];
	unsigned long frames[48];
	unsigned int count = stack_trace_save(frames, ARRAY_SIZE(frames), 2);
	unsigned int i;

	for (i = 0; i < count; i++) {
		sprint_symbol_no_offset(where, frames[i]);
		/* There the kernel itself writes a report, with a stack. */
		if (!strcmp(where, "__get_vm_area_node") || !strcmp(where, "__vmalloc_node_range") ||
		    !strcmp(where, "__vmalloc_node_range_noprof"))
			return false;
		if (strstr(where, of))
			return true;
	}
	return false;
}

static void notrace on_allocation(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				  struct ftrace_regs *fregs)
{
	int bit;

	if (READ_ONCE(victim) != current || !in_task())
		return;
	bit = ftrace_test_recursion_trylock(ip, parent_ip);
	if (bit < 0)
		return;
	if (from_module() && left > 0 && !--left) {
		failed++;
		WRITE_ONCE(victim, NULL);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
		ftrace_regs_set_instruction_pointer(fregs, (unsigned long)no_memory);
#else
		ftrace_instruction_pointer_set(fregs, (unsigned long)no_memory);
#endif
	}
	ftrace_test_recursion_unlock(bit);
}

static struct ftrace_ops ops = {
	.func = on_allocation,
	.flags = FTRACE_OPS_FL_IPMODIFY
#if !defined(CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS)
		 | FTRACE_OPS_FL_SAVE_REGS
#endif
};

/* A shell writes, and then becomes the program that is meant. */
static ssize_t arm(struct file *file, const char __user *text, size_t count, loff_t *pos)
{
	char buffer[32] = {};
	long nth;

	if (count >= sizeof(buffer) || copy_from_user(buffer, text, count) ||
	    kstrtol(strim(buffer), 0, &nth))
		return -EINVAL;
	WRITE_ONCE(victim, NULL);
	left = nth;
	failed = 0;
	WRITE_ONCE(victim, nth ? current : NULL);
	return count;
}

static ssize_t show(struct file *file, char __user *text, size_t size, loff_t *pos)
{
	char buffer[32];
	int length = snprintf(buffer, sizeof(buffer), "%ld\n", failed);

	WRITE_ONCE(victim, NULL);
	return simple_read_from_buffer(text, size, pos, buffer, length);
}

static const struct proc_ops file_ops = { .proc_write = arm, .proc_read = show };

static int __init fail_init(void)
{
	size_t i, found = 0;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (!ftrace_set_filter(&ops, (unsigned char *)functions[i], strlen(functions[i]),
				       !found))
			found++;
	if (!found || !proc_create("fail_alloc", 0600, NULL, &file_ops))
		return -ENODEV;
	return register_ftrace_function(&ops);
}

static void __exit fail_exit(void)
{
	WARN_ON(unregister_ftrace_function(&ops));
	remove_proc_entry("fail_alloc", NULL);
}

module_init(fail_init);
module_exit(fail_exit);
MODULE_LICENSE("GPL");
