#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whoever is on the way to a version of a patch when it is taken back still calls as the patch does. The
# core is one in which that way takes long.
cd /test
. ./words.sh
mount -t debugfs none /sys/kernel/debug 2>/dev/null
echo full >/sys/kernel/debug/sched/preempt || die "no preemption"
insmod suture.ko && insmod pair.ko threads=3 thread_us=1
for round in $(seq $(cat rounds)); do
  for model in hybrid stop; do
    enabled pair_n2 $model || continue
    until_true take_back pair_n2
    until_true removed pair_n2
    [ "$(mixed thread)" = 0 ] || die "on its way: $(mixed thread) calls of $(calls thread)"
  done
done
echo "sound: $(calls thread) calls"
