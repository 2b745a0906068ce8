// SPDX-License-Identifier: GPL-2.0
/* A thread on each CPU: what it finds over is over for all that ran there before. */
#include <linux/cpu.h>
#include <linux/mutex.h>
#include <linux/percpu.h>

#include "compat.h"
#include "cpus.h"

static struct workqueue_struct *cpu_works;
static DEFINE_PER_CPU(struct work_struct, cpu_work);
static DEFINE_MUTEX(cpu_work_mutex);

/*
 * Runs the function on each CPU that is online, in a thread: neither in an interrupt nor on top
 * of one, and with the CPU's idle task off it, in schedule_idle().
 */
void suture_each_cpu(work_func_t function)
{
	int cpu;

	mutex_lock(&cpu_work_mutex);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct work_struct *work = per_cpu_ptr(&cpu_work, cpu);

		INIT_WORK(work, function);
		queue_work_on(cpu, cpu_works, work);
	}
	for_each_online_cpu(cpu)
		flush_work(per_cpu_ptr(&cpu_work, cpu));
	cpus_read_unlock();
	mutex_unlock(&cpu_work_mutex);
}

static void nothing(struct work_struct *work)
{
}

/*
 * Until no CPU is in an ftrace handler, or about to return to user space, that began before. RCU
 * would not do: functions are also called where RCU does not watch.
 */
void suture_synchronize(void)
{
	suture_each_cpu(nothing);
}

int suture_cpus_init(void)
{
	cpu_works = alloc_workqueue("suture_cpu", WQ_HIGHPRI | SUTURE_WQ_PERCPU, 0);
	return cpu_works ? 0 : -ENOMEM;
}

void suture_cpus_exit(void)
{
	destroy_workqueue(cpu_works);
}
