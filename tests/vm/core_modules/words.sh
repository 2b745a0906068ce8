# SPDX-License-Identifier: GPL-2.0-or-later
#
# Words for guests that have the core and the pair (../run, make_core).
S=/sys/kernel/suture

die() { echo "$1"; exit 1; }

# enable NAME MODEL: refused, or begun.
enable() { ./insert_module $1.ko model=$2 2>/dev/null; }

# until_true COMMAND...: in a minute at most.
until_true() {
  local tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || die "it never came true: $*"
    usleep 100000
  done
}

settled() { [ "$(cat $S/$1/settled)" = 1 ]; }
switched() { [ "$(cat $S/$1/transition)" = 0 ]; }
removed() { rmmod $1 2>/dev/null; }

# Under stop, busy functions may refuse it for a while; so may they when it is taken back.
enabled() {
  case $2 in
  stop) until_true enable $1 stop ;;
  *) enable $1 $2 || return 1 ;;
  esac
  until_true switched $1
}

take_back() { (echo 0 >$S/$1/enabled) 2>/dev/null; }

# disable NAME: taken back, and the module gone.
disable() {
  until_true take_back $1
  until_true removed $1
}

# runs VERSION: what left and right say.
runs() { [ "$(cat /proc/pair_apart)" = "$1 $1" ] || die "$1 does not run: $(cat /proc/pair_apart)"; }

# mixed CONTEXT: calls of that context that saw both sides; calls CONTEXT: all.
mixed() { sed -n "s/^$1 [0-9]* [0-9]* //p" /proc/pair; }
calls() { sed -n "s/^$1 \([0-9]*\) .*/\1/p" /proc/pair; }

# A task that sleeps in pair_left() until it is killed.
sleep_inside() {
  echo 1000000 >/sys/module/pair/parameters/sleep_ms
  cat /proc/pair >/dev/null &
  sleeper=$!
  usleep 300000
  echo 0 >/sys/module/pair/parameters/sleep_ms
}
wake_sleeper() { kill $sleeper; wait $sleeper 2>/dev/null; true; }
