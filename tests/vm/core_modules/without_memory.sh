#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For a guest that has the core and the pair: the nth allocation that enabling or disabling a patch
# makes fails, for every $STEP-th n.
cd /test
. ./words.sh
STEP=$(cat step)
insmod suture.ko && insmod pair.ko threads=1 timers=1 && insmod fail_alloc.ko || exit 1

# nth N COMMAND: the command, with that allocation failing; `failed` says whether there was one.
nth() {
  local status=0 n=$1
  shift
  sh -c "echo $n >/proc/fail_alloc; $*" 2>/dev/null || status=1
  failed=$(cat /proc/fail_alloc)
  return $status
}

# below MODEL: the patch that the other one comes onto.
for model in stop lazy hybrid; do
  for name in pair_v2 pair_v3 pair_r4; do
    below=1 want=${name#pair_?}
    [ $name = pair_v2 ] || { enabled pair_v2 $model && until_true settled pair_v2; below=2; }
    n=1 refused=0
    while :; do
      if nth $n exec ./insert_module $name.ko model=$model; then
        until_true switched $name
        runs $want
        [ $failed = 1 ] || break
        disable $name
        [ $below = 1 ] || [ -e $S/pair_v2 ] || { removed pair_v2; enabled pair_v2 $model; }
      else
        refused=$((refused + 1))
        [ ! -e $S/$name ] && [ ! -e /sys/module/$name ] || die "half of $name, at $n"
        runs $below
      fi
      n=$((n + STEP))
    done
    [ $refused -gt 5 ] || die "no allocation of $name has failed"
    n=1
    until nth $n "echo 0 >$S/$name/enabled"; do
      runs $want
      n=$((n + STEP))
    done
    until_true removed $name
    [ ! -e $S/pair_v2 ] || disable pair_v2
    [ ! -e /sys/module/pair_v2 ] || until_true removed pair_v2
    runs 1
    echo "$model $name: $refused refused"
  done
done
for context in thread softirq; do
  [ "$(mixed $context)" = 0 ] || die "mixed: $(cat /proc/pair)"
done
rmmod pair && rmmod fail_alloc && rmmod suture
