// SPDX-License-Identifier: GPL-2.0-or-later
//
// By name: their code cannot show it, as they keep the address in a structure on their stack, or
// in a list for as long as a task waits. What their code shows need not be here.
#include "kernel/borrowers.h"

#include <algorithm>
#include <array>

namespace suture::kernel {

namespace {

constexpr std::array callers = std::to_array<std::string_view>({
    // Search and sort: compare, swap.
    "sort",
    "sort_r",
    "list_sort",
    "bsearch",
    "__inline_bsearch",
    // Wait until it has run, or send an interrupt that no processor leaves unanswered so long.
    "smp_call_function",
    "smp_call_function_single",
    "smp_call_function_many",
    "smp_call_function_any",
    "on_each_cpu_cond_mask",
    "stop_machine",
    "stop_machine_cpuslocked",
    "stop_one_cpu",
    "stop_two_cpus",
    "work_on_cpu",
    "work_on_cpu_safe",
    "work_on_cpu_key",
    "work_on_cpu_safe_key",
    "schedule_on_each_cpu",
    // Walks: call for each thing that there is now.
    "bus_for_each_dev",
    "bus_find_device",
    "bus_for_each_drv",
    "driver_for_each_device",
    "driver_find_device",
    "class_for_each_device",
    "class_find_device",
    "device_for_each_child",
    "device_for_each_child_reverse",
    "device_find_child",
    "pci_walk_bus",
    "kallsyms_on_each_symbol",
    "iterate_fd",
    "idr_for_each",
    "iterate_supers",
    "iterate_supers_type",
    "walk_page_range",
    "walk_page_range_novma",
    "walk_page_vma",
    "walk_page_mapping",
    "apply_to_page_range",
    "apply_to_existing_page_range",
    "netdev_walk_all_lower_dev",
    "netdev_walk_all_lower_dev_rcu",
    "netdev_walk_all_upper_dev_rcu",
    "for_each_kernel_tracepoint",
    "blk_mq_tagset_busy_iter",
    "acpi_walk_namespace",
    "acpi_walk_resources",
    "acpi_get_devices",
    "rmap_walk",
    // Wait with it, and take it back when the wait is over.
    "__wait_on_bit",
    "__wait_on_bit_lock",
    "out_of_line_wait_on_bit",
    "out_of_line_wait_on_bit_lock",
    "out_of_line_wait_on_bit_timeout",
});

constexpr std::array users = std::to_array<std::string_view>({
    // Locks.
    "mutex_lock",
    "mutex_lock_interruptible",
    "mutex_lock_killable",
    "mutex_lock_io",
    "mutex_trylock",
    "mutex_unlock",
    "mutex_is_locked",
    "down",
    "down_interruptible",
    "down_killable",
    "down_trylock",
    "down_timeout",
    "up",
    "down_read",
    "down_read_interruptible",
    "down_read_killable",
    "down_read_trylock",
    "up_read",
    "down_write",
    "down_write_killable",
    "down_write_trylock",
    "up_write",
    "downgrade_write",
    "__mutex_init",
    "__init_rwsem",
    "_raw_spin_lock",
    "_raw_spin_lock_bh",
    "_raw_spin_lock_irq",
    "_raw_spin_lock_irqsave",
    "_raw_spin_trylock",
    "_raw_spin_trylock_bh",
    "_raw_spin_unlock",
    "_raw_spin_unlock_bh",
    "_raw_spin_unlock_irq",
    "_raw_spin_unlock_irqrestore",
    "_raw_read_lock",
    "_raw_read_lock_bh",
    "_raw_read_lock_irq",
    "_raw_read_lock_irqsave",
    "_raw_read_unlock",
    "_raw_read_unlock_bh",
    "_raw_read_unlock_irq",
    "_raw_read_unlock_irqrestore",
    "_raw_write_lock",
    "_raw_write_lock_bh",
    "_raw_write_lock_irq",
    "_raw_write_lock_irqsave",
    "_raw_write_unlock",
    "_raw_write_unlock_bh",
    "_raw_write_unlock_irq",
    "_raw_write_unlock_irqrestore",
    // Waits in code, and wakes.
    "__init_waitqueue_head",
    "prepare_to_wait",
    "prepare_to_wait_exclusive",
    "prepare_to_wait_event",
    "finish_wait",
    "__wake_up",
    "__wake_up_locked",
    "__wake_up_sync",
    "__init_swait_queue_head",
    "complete",
    "complete_all",
    "wait_for_completion",
    "wait_for_completion_interruptible",
    "wait_for_completion_killable",
    "wait_for_completion_timeout",
    "wait_for_completion_interruptible_timeout",
    "try_wait_for_completion",
    "completion_done",
    // A limit on messages, and static keys: the module's own sites know them, and go with it.
    "___ratelimit",
    "static_key_enable",
    "static_key_disable",
    "static_key_slow_inc",
    "static_key_slow_dec",
    "static_key_count",
    "static_key_enable_cpuslocked",
    "static_key_disable_cpuslocked",
    "static_key_slow_inc_cpuslocked",
    "static_key_slow_dec_cpuslocked",
});

}  // namespace

bool calls_at_once(std::string_view function) {
  return std::ranges::find(callers, function) != callers.end();
}

bool uses_at_once(std::string_view function) {
  return std::ranges::find(users, function) != users.end();
}

}  // namespace suture::kernel
