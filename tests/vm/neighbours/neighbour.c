// SPDX-License-Identifier: GPL-2.0
/*
 * Something at the entry of a function that a patch may meet there: a direct call (kind=direct),
 * another redirection that leads nowhere else (kind=ipmodify), or a kprobe with a post handler
 * (kind=post), or one that is defined and disabled (kind=disabled). /proc/neighbour says how often
 * it was called.
 */
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/version.h>

static char *kind = "direct";
module_param(kind, charp, 0444);
static char *function = "";
module_param(function, charp, 0444);

int neighbour_calls;
void neighbour_direct(void);

asm(".pushsection .text\n"
    ".type neighbour_direct, @function\n"
    ".globl neighbour_direct\n"
    "neighbour_direct:\n"
#ifdef CONFIG_X86_KERNEL_IBT
    "	endbr64\n"
#endif
    "	lock incl neighbour_calls(%rip)\n"
    ASM_RET
    ".size neighbour_direct, .-neighbour_direct\n"
    ".popsection\n");

static void neighbour_called(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *regs)
{
	neighbour_calls++;
}

static struct ftrace_ops redirection = {
	.func = neighbour_called,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int before(struct kprobe *unused, struct pt_regs *regs)
{
	neighbour_calls++;
	return 0;
}

static void after(struct kprobe *unused, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = { .pre_handler = before };
static unsigned long entry;

static int neighbour_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%d\n", READ_ONCE(neighbour_calls));
	return 0;
}

/* ftrace's place in the function, by way of a kprobe that does not stay. */
static int find_entry(void)
{
	struct kprobe finder = { .symbol_name = function };
	int ret = register_kprobe(&finder);

	if (ret)
		return ret;
	entry = ftrace_location((unsigned long)finder.addr);
	unregister_kprobe(&finder);
	return entry ? 0 : -ENOENT;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
static struct ftrace_ops direct;

static int call_direct(void)
{
	int ret = ftrace_set_filter_ip(&direct, entry, 0, 0);

	return ret ?: register_ftrace_direct(&direct, (unsigned long)neighbour_direct);
}

static void leave_direct(void)
{
	unregister_ftrace_direct(&direct, (unsigned long)neighbour_direct, true);
}
#else
static int call_direct(void)
{
	return register_ftrace_direct(entry, (unsigned long)neighbour_direct);
}

static void leave_direct(void)
{
	unregister_ftrace_direct(entry, (unsigned long)neighbour_direct);
}
#endif

static int __init neighbour_init(void)
{
	int ret = find_entry();

	if (ret)
		return ret;
	if (!strcmp(kind, "direct")) {
		ret = call_direct();
	} else if (!strcmp(kind, "ipmodify")) {
		ret = ftrace_set_filter_ip(&redirection, entry, 0, 0);
		ret = ret ?: register_ftrace_function(&redirection);
	} else {
		probe.addr = (kprobe_opcode_t *)entry;
		if (!strcmp(kind, "post"))
			probe.post_handler = after;
		else
			probe.flags = KPROBE_FLAG_DISABLED;
		ret = register_kprobe(&probe);
	}
	if (!ret)
		proc_create_single("neighbour", 0444, NULL, neighbour_show);
	return ret;
}

static void __exit neighbour_exit(void)
{
	remove_proc_entry("neighbour", NULL);
	if (!strcmp(kind, "direct"))
		leave_direct();
	else if (!strcmp(kind, "ipmodify"))
		unregister_ftrace_function(&redirection);
	else
		unregister_kprobe(&probe);
}

module_init(neighbour_init);
module_exit(neighbour_exit);
MODULE_LICENSE("GPL");
