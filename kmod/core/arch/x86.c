// SPDX-License-Identifier: GPL-2.0
/* x86-64. Relocations: the System V ABI, AMD64 supplement, table "Relocation Types". */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sched/task_stack.h>
#include <linux/user-return-notifier.h>

#include "arch/arch.h"
#include "kernel_symbols.h"
#include "log.h"

static int fits(bool it_does, const struct suture_relocation *relocation)
{
	if (it_does)
		return 0;
	pr_err("'%s' is too far from %pS\n", relocation->symbol->name, relocation->place);
	return -ENOEXEC;
}

int suture_arch_relocate(const struct suture_relocation *relocation, unsigned long symbol,
			 u8 bytes[8])
{
	u64 value = symbol + relocation->addend;
	u64 distance = value - (unsigned long)relocation->place;
	int size = 4;
	int ret = 0;

	switch (relocation->type) {
	case R_X86_64_64:
		size = 8;
		break;
	case R_X86_64_32:
		ret = fits(value == (u32)value, relocation);
		break;
	case R_X86_64_32S:
		ret = fits((s64)value == (s32)value, relocation);
		break;
	case R_X86_64_PC32:
	case R_X86_64_PLT32:
		value = distance;
		ret = fits((s64)value == (s32)value, relocation);
		break;
	case R_X86_64_PC64:
		value = distance;
		size = 8;
		break;
	default:
		pr_err("a relocation of the type %u is not known\n", relocation->type);
		ret = -ENOEXEC;
	}
	memcpy(bytes, &value, size);
	return ret ?: size;
}

void suture_arch_write(void *place, const u8 *bytes, size_t size)
{
	mutex_lock(suture_text_mutex);
	static_call(suture_text_poke)(place, bytes, size);
	mutex_unlock(suture_text_mutex);
}

void suture_arch_written(void)
{
	static_call(suture_text_poke_sync)();
}

/*
 * The registers that user space left on top of the stack are its own: what lies in them says
 * nothing of where the kernel is, and a program could hold up a patch by them.
 */
void suture_arch_stack(struct task_struct *task, unsigned long **from, unsigned long **to)
{
	unsigned long top = (unsigned long)task_stack_page(task) + THREAD_SIZE;

	*from = (unsigned long *)READ_ONCE(task->thread.sp);
	*to = (unsigned long *)(task->flags & PF_KTHREAD ? top : (unsigned long)task_pt_regs(task));
}

/* Names of 6.1 and later; a kernel need not have each of them. */
static const char *const return_thieves[] = {
	"return_to_handler", "arch_rethook_trampoline", "__kretprobe_trampoline",
};

static unsigned long thieves[ARRAY_SIZE(return_thieves)];

/* Each is a few instructions; their return addresses lie within. */
#define THIEF_SIZE 64

bool suture_arch_hides_return(unsigned long address)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(thieves); i++)
		if (thieves[i] && address - thieves[i] < THIEF_SIZE)
			return true;
	return false;
}

/* What has frames on the stack there and can be replaced; a kernel need not have each of them. */
static const char *const last_functions[] = {
	"fire_user_return_notifiers", "exit_to_user_mode_prepare", "ret_from_fork",
};

static unsigned long last_ones[ARRAY_SIZE(last_functions)];

bool suture_arch_is_at_border(unsigned long address)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(last_ones); i++)
		if (last_ones[i] && last_ones[i] == address)
			return true;
	return false;
}

void suture_arch_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(thieves); i++)
		thieves[i] = suture_vmlinux_symbol(return_thieves[i]);
	for (i = 0; i < ARRAY_SIZE(last_ones); i++)
		last_ones[i] = suture_vmlinux_symbol(last_functions[i]);
}

#ifdef CONFIG_USER_RETURN_NOTIFIER

bool suture_arch_has_border(void)
{
	return true;
}

static void on_user_return(struct user_return_notifier *notifier)
{
	suture_at_border();
}

static DEFINE_PER_CPU(struct user_return_notifier, border);
static DEFINE_PER_CPU(bool, border_is_open);

void suture_arch_open_border(void)
{
	if (__this_cpu_read(border_is_open))
		return;
	/* The loader does not relocate the first values of per-CPU data of modules. */
	this_cpu_ptr(&border)->on_user_return = on_user_return;
	user_return_notifier_register(this_cpu_ptr(&border));
	__this_cpu_write(border_is_open, true);
}

void suture_arch_close_border(void)
{
	if (!__this_cpu_read(border_is_open))
		return;
	user_return_notifier_unregister(this_cpu_ptr(&border));
	__this_cpu_write(border_is_open, false);
}

#else /* a kernel without KVM, which is what they were made for */

bool suture_arch_has_border(void)
{
	return false;
}

void suture_arch_open_border(void)
{
}

void suture_arch_close_border(void)
{
}

#endif
