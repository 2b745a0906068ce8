#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A settled function goes back to the handler while calls of it walk ftrace's list of all ops, which take
# long: ftrace finds nothing wrong, and goes on working.
cd /test
. ./words.sh
insmod suture.ko && insmod pair.ko threads=2 thread_us=1
at=$(sed -n 's/.* \(hash_contains_ip[^ ]*\)$/\1/p' /proc/kallsyms | head -n 1)
[ -n "$at" ] || die "this kernel's walkers cannot be held up"
insmod slow_walk.ko at=$at
for round in $(seq $(cat rounds)); do
  enabled pair_v2 hybrid || die "refused"
  until_true settled pair_v2
  disable pair_v2
done
stays=$(cat /sys/module/slow_walk/parameters/stays)
echo "$stays walks stayed"
[ "$stays" -gt 0 ] || die "none stayed"
rmmod slow_walk
enabled pair_v2 stop || die "ftrace works no more"
disable pair_v2
[ "$(mixed thread)" = 0 ] || die "mixed: $(cat /proc/pair)"
rmmod pair && rmmod suture
