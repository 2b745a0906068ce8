#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Anybody reads whether a patch is settled while the patch goes. The core is one in which each look at an
# object takes a while.
cd /test
. ./words.sh
insmod suture.ko && insmod pair.ko threads=8
(while [ -e /sys/module/suture ]; do cat $S/pair_v2/settled; done) >/dev/null 2>&1 &
for round in $(seq $(cat rounds)); do
  for model in hybrid stop; do
    until_true enable pair_v2 $model
    until_true switched pair_v2
    disable pair_v2
  done
done
[ "$(mixed thread)" = 0 ] || die "mixed: $(cat /proc/pair)"
rmmod pair && rmmod suture
