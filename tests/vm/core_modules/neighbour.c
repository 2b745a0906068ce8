// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody else at the function `on`, of the kind `kind`. The parameter seen says how many calls of
 * it it has seen.
 */
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>

static char *kind;
module_param(kind, charp, 0444);
static char *on;
module_param(on, charp, 0444);
/* Of a kprobe: so far behind the entry. */
static int offset;
module_param(offset, int, 0444);
static int seen;
module_param(seen, int, 0444);

static int notrace on_probe(struct kprobe *probe, struct pt_regs *regs)
{
	seen++;
	return 0;
}

static void notrace on_post(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
	seen++;
}

static struct kprobe probe;

static int add_probe(void)
{
	probe.symbol_name = on;
	probe.offset = offset;
	return register_kprobe(&probe);
}

static int add_kprobe(void)
{
	probe.pre_handler = on_probe;
	return add_probe();
}

static int add_post_handler(void)
{
	probe.post_handler = on_post;
	return add_probe();
}

static int add_disabled(void)
{
	probe.flags = KPROBE_FLAG_DISABLED;
	return add_kprobe();
}

static void remove_probe(void)
{
	unregister_kprobe(&probe);
}

static int on_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	seen++;
	return 0;
}

static struct kretprobe return_probe = { .handler = on_return };

static int add_kretprobe(void)
{
	return_probe.kp.symbol_name = on;
	return register_kretprobe(&return_probe);
}

static void remove_kretprobe(void)
{
	unregister_kretprobe(&return_probe);
}

static void notrace on_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    struct ftrace_regs *fregs)
{
	seen++;
}

static struct ftrace_ops ops = { .func = on_call };

static int add_ops(unsigned long flags)
{
	int ret;

	ops.flags = flags;
	ret = ftrace_set_filter(&ops, on, strlen(on), 1);
	return ret ?: register_ftrace_function(&ops);
}

static int add_looking(void)
{
	return add_ops(0);
}

static int add_with_registers(void)
{
	return add_ops(FTRACE_OPS_FL_SAVE_REGS);
}

static int add_redirecting(void)
{
	return add_ops(FTRACE_OPS_FL_IPMODIFY);
}

static void remove_ops(void)
{
	WARN_ON(unregister_ftrace_function(&ops));
	ftrace_free_filter(&ops);
}

/* What the entry of the function calls: for functions of up to three arguments. */
void neighbour_call(void);
void neighbour_seen(void);
void neighbour_seen(void)
{
	seen++;
}

asm(".pushsection .text, \"ax\", @progbits\n"
    ".type neighbour_call, @function\n"
    ".globl neighbour_call\n"
    "neighbour_call:\n"
    "push %rbp\n"
    "mov %rsp, %rbp\n"
    "push %rdi\n"
    "push %rsi\n"
    "push %rdx\n"
    "push %rdx\n"
    "call neighbour_seen\n"
    "pop %rdx\n"
    "pop %rdx\n"
    "pop %rsi\n"
    "pop %rdi\n"
    "leave\n"
    "ret\n"
    "int3\n"
    ".size neighbour_call, .-neighbour_call\n"
    ".popsection\n");

static struct ftrace_ops direct;

static int add_direct(void)
{
	int ret = ftrace_set_filter(&direct, on, strlen(on), 1);

	return ret ?: register_ftrace_direct_multi(&direct, (unsigned long)neighbour_call);
}

static void remove_direct(void)
{
	WARN_ON(unregister_ftrace_direct_multi(&direct, (unsigned long)neighbour_call));
	ftrace_free_filter(&direct);
}

static const struct {
	const char *kind;
	int (*add)(void);
	void (*remove)(void);
} kinds[] = {
	{ "kprobe", add_kprobe, remove_probe },
	{ "post_handler", add_post_handler, remove_probe },
	{ "disabled", add_disabled, remove_probe },
	{ "kretprobe", add_kretprobe, remove_kretprobe },
	{ "looking", add_looking, remove_ops },
	{ "with_registers", add_with_registers, remove_ops },
	{ "redirecting", add_redirecting, remove_ops },
	{ "direct", add_direct, remove_direct },
};

static size_t which;

static int __init neighbour_init(void)
{
	while (strcmp(kinds[which].kind, kind))
		if (++which == ARRAY_SIZE(kinds))
			return -EINVAL;
	return kinds[which].add();
}

static void __exit neighbour_exit(void)
{
	kinds[which].remove();
}

module_init(neighbour_init);
module_exit(neighbour_exit);
MODULE_LICENSE("GPL");
