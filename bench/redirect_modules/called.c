// SPDX-License-Identifier: GPL-2.0
/*
 * Two functions to be patched. Reading /proc/called gives the instructions that a call of called()
 * takes, its own among them, where the time stamp counter counts instructions; /proc/held sleeps
 * in held() until its reader is killed.
 */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <asm/asm.h>
#include <asm/msr.h>

#define ROUNDS 10000

noinline int called(int argument);
noinline int held(int milliseconds);

noinline int called(int argument)
{
	return argument + 1;
}

noinline int held(int milliseconds)
{
	msleep_interruptible(milliseconds);
	return 0;
}

/* Both loops are the same but for the call. */
#define CLOBBERED "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc"
static u64 count_loop(void)
{
	unsigned long rounds = ROUNDS;
	u64 began = rdtsc_ordered();

	asm volatile("1: dec %0\n\tjnz 1b" : "+b"(rounds), ASM_CALL_CONSTRAINT : : CLOBBERED);
	return rdtsc_ordered() - began;
}

static u64 count_calls(void)
{
	unsigned long rounds = ROUNDS;
	u64 began = rdtsc_ordered();

	asm volatile("1: call called\n\tdec %0\n\tjnz 1b"
		     : "+b"(rounds), ASM_CALL_CONSTRAINT : : CLOBBERED);
	return rdtsc_ordered() - began;
}

static int called_show(struct seq_file *m, void *unused)
{
	unsigned long flags;
	u64 loop, calls;

	local_irq_save(flags);
	loop = count_loop();
	calls = count_calls();
	local_irq_restore(flags);
	/* Two instructions a round, and the few around the loop. */
	if (loop / ROUNDS != 2) {
		pr_err("the counter does not count instructions: %llu for %d\n", loop, 2 * ROUNDS);
		return -EIO;
	}
	seq_printf(m, "%llu\n", (calls - loop + ROUNDS / 2) / ROUNDS);
	return 0;
}

static int held_show(struct seq_file *m, void *unused)
{
	return held(1000000);
}

static int __init start(void)
{
	return proc_create_single("called", 0444, NULL, called_show) &&
	       proc_create_single("held", 0444, NULL, held_show) ? 0 : -ENOMEM;
}

static void __exit stop(void)
{
	remove_proc_entry("held", NULL);
	remove_proc_entry("called", NULL);
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("Functions whose calls are counted");
MODULE_LICENSE("GPL");
