#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A task that no list holds any more sleeps inside of a function, and leaves its CPU all the while: the
# stop looks at it in each of its tries, and is refused.
cd /test
. ./words.sh
insmod suture.ko && insmod pair.ko
P=/sys/module/dying/parameters
inside() { [ "$(cat $P/inside)" = Y ]; }
outside() { [ "$(cat $P/inside)" = N ]; }
insmod dying.ko sleep_ms=30000
until_true inside
[ -z "$(pidof dying)" ] || die "it is in the list of tasks still"
! enable pair_v2 stop || die "a dying task inside is not seen"
inside || die "it was not there for so long"
dmesg | grep 'suture: .*dying/[0-9]* is inside pair_' || die "not told"
until_true outside
[ "$(cat $P/mixed)" = N ] || die "it saw both sides"
rmmod dying
enabled pair_v2 stop
disable pair_v2
rmmod pair && rmmod suture
