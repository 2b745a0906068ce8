/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SUTURE_CPUS_H
#define _SUTURE_CPUS_H

#include <linux/workqueue.h>

int suture_cpus_init(void);
void suture_cpus_exit(void);
/* The function on each CPU that is online, in a thread of that CPU's. */
void suture_each_cpu(work_func_t function);
/* Until no handler, and nobody about to return to user space, is under way that was so before. */
void suture_synchronize(void);

#endif /* _SUTURE_CPUS_H */
