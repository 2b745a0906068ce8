/* SPDX-License-Identifier: GPL-2.0 */
/* What each line of the core's in the log begins with. */
#ifndef _SUTURE_LOG_H
#define _SUTURE_LOG_H

#include <linux/printk.h>

#undef pr_fmt
#define pr_fmt(fmt) "suture: " fmt

#endif /* _SUTURE_LOG_H */
