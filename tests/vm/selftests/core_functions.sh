# SPDX-License-Identifier: GPL-2.0-or-later
#
# The words of functions.sh where the livepatches are patches of Suture's core ($model says by which
# model they are loaded): what differs. In the log this core's own lines stand for livepatch's.
sysfs=/sys/kernel/suture

setup_config() {
  echo 'module suture +p' >/sys/kernel/debug/dynamic_debug/control
  echo 1 >/proc/sys/kernel/ftrace_enabled
}

# The log names the file as the scripts' authors do.
log() { echo "$1" | sed "s,$sysfs,/sys/kernel/livepatch," >/dev/kmsg; }

loop_until() {
  local tries=0 condition=$(echo "$*" | sed "s,/sys/kernel/livepatch,$sysfs,")
  until eval "$condition"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || return 1
    sleep 0.1
  done
}

# Under the lazy model what sleeps would be in the way until it is nudged.
load_by_suture() {
  suture load --replace --model $model --signal-after 0.1 "$@" >said.txt 2>&1 || return
  [ "$(cat $sysfs/$(basename $1 .ko)/model)" = $model ] || die "another model"
}
unload_by_suture() { suture unload --signal-after 0.1 "$@" >said.txt 2>&1; }
is_patch() { grep -q suture.core=suture /test/$1.ko; }

# Under the stop model there is no transition that waits: whoever is inside of a function that is to be
# replaced makes it be refused, and there the scenario ends.
load_lp_nowait() {
  local mod=$1 status=0
  shift
  step "% modprobe $mod $*"
  if [ $model != stop ]; then
    load_by_suture /test/$mod.ko --parameters "$*" --deadline 2 --no-revert || status=$?
    [ $status = 5 ] || die "load $mod: $(cat said.txt)"
    told_true $mod
    return
  fi
  load_by_suture /test/$mod.ko --parameters "$*" && die "$mod is loaded"
  grep -q 'nothing has changed' said.txt || die "load $mod: $(cat said.txt)"
  [ -z "$(suture_says $mod)" ] && [ ! -e /sys/module/$mod ] || die "$mod is there"
  unload_mod test_klp_callbacks_busy
  exit 0
}

its_lines() {
  sed 's/^suture: /livepatch: /' | grep -e livepatch: -e test_klp |
    grep -v -e taint -e "livepatch: the kernel's livepatch or another tracer has it"
}
