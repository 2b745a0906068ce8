/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between architectures. Each has one file here that serves these. */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/ftrace.h>
#include <linux/sched.h>

#include "suture_patch.h"

void suture_arch_init(void);

/* The bytes that the relocation puts at its place; their number, or an error. */
int suture_arch_relocate(const struct suture_relocation *relocation, unsigned long symbol,
			 u8 bytes[8]);

/* Writes to memory of a module whatever its protection. */
void suture_arch_write(void *place, const u8 *bytes, size_t size);
/* After that no CPU runs what was there before. */
void suture_arch_written(void);

/* The lowest word of what a task that does not run has on its stack, and the end of it. */
void suture_arch_stack(struct task_struct *task, unsigned long **from, unsigned long **to);

/* An address that return addresses are replaced with; the real one is kept elsewhere. */
bool suture_arch_hides_return(unsigned long address);

/* Whether this kernel can tell when a task returns to user space. Else the next two do nothing. */
bool suture_arch_has_border(void);
/* Catches those that return to user space on this CPU; each with interrupts off on it. */
void suture_arch_open_border(void);
void suture_arch_close_border(void);
/* Whether a task is inside of the function at that address when it is caught at the border. */
bool suture_arch_is_at_border(unsigned long address);
/* Called at the border, for the current task. */
void suture_at_border(void);

#endif /* _SUTURE_ARCH_H */
