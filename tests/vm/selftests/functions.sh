# SPDX-License-Identifier: GPL-2.0-or-later
#
# The words that the kernel's livepatch selftests (tools/testing/selftests/livepatch) are written in,
# for a guest that has busybox: livepatches are loaded and taken back by suture, whose status must be
# true after each step. Where a script compares the kernel's log with a list of lines, the steps stand
# in it as its authors' own functions write them.
sysfs=/sys/kernel/livepatch

log() { echo "$1" >/dev/kmsg; }
die() { echo "ERROR: $1"; exit 1; }

loop_until() {
  local tries=0
  until eval "$*"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || return 1
    sleep 0.1
  done
}

setup_config() {
  echo 'file kernel/livepatch/* +p' >/sys/kernel/debug/dynamic_debug/control
  echo 'func klp_try_switch_task -p' >/sys/kernel/debug/dynamic_debug/control
  echo 1 >/proc/sys/kernel/ftrace_enabled
}

set_ftrace_enabled() {
  local wanted=$1 said got
  [ "$1" != --fail ] || wanted=$2
  said=$( (echo "$wanted" >/proc/sys/kernel/ftrace_enabled) 2>&1)
  got=$(cat /proc/sys/kernel/ftrace_enabled)
  if [ "$got" = "$wanted" ]; then
    log "livepatch: kernel.ftrace_enabled = $got"
  elif [ "$1" = --fail ]; then
    log "livepatch: sysctl: setting key \"kernel.ftrace_enabled\": ${said##*: }"
  else
    die "ftrace_enabled is $got"
  fi
}

# What suture says of a patch: STATE, or "gone".
suture_says() {
  suture status --json 2>/dev/null >status.json || die "suture status fails"
  sed -n "/\"patches\"/,\$p" status.json | grep -A3 "\"name\": \"$1\"" | sed -n 's/.*"state": "\(.*\)".*/\1/p'
}

# told_true NAME: suture says what the kernel's files say, which is left in $said.
told_true() {
  local enabled transition
  said=$(suture_says "$1")
  enabled=$(cat $sysfs/$1/enabled 2>/dev/null)
  transition=$(cat $sysfs/$1/transition 2>/dev/null)
  case "$enabled$transition" in
  10) [ "$said" = enabled ] ;;
  11) [ "$said" = enabling ] ;;
  01) [ "$said" = disabling ] ;;
  00) [ "$said" = disabled ] ;;
  *) [ -z "$said" ] ;;
  esac || die "$1 is enabled=$enabled transition=$transition, and suture says '$said'"
}

step() { local message="$*"; log "${message%% }"; }

load_by_suture() { suture load --replace "$@" >said.txt 2>&1; }
unload_by_suture() { suture unload "$@" >said.txt 2>&1; }
is_patch() { grep -q livepatch=Y /test/$1.ko; }

load_mod() {
  local mod=$1
  shift
  step "% modprobe $mod $*"
  /test/insert_module /test/$mod.ko "$@" || die "$mod is refused"
}

unload_mod() {
  loop_until "[ \"\$(cat /sys/module/$1/refcnt)\" = 0 ]" || die "$1 stays in use"
  log "% rmmod $1"
  rmmod $1 || die "rmmod $1"
}

load_lp() {
  local mod=$1
  shift
  step "% modprobe $mod $*"
  load_by_suture /test/$mod.ko --parameters "$*" || die "load $mod: $(cat said.txt)"
  told_true $mod
  [ "$said" = enabled ] || die "$mod is not shown as enabled"
}

# Its transition may not be over.
load_lp_nowait() {
  local mod=$1 status=0
  shift
  step "% modprobe $mod $*"
  load_by_suture /test/$mod.ko --parameters "$*" --deadline 2 --no-revert || status=$?
  [ $status = 0 ] || [ $status = 5 ] || die "load $mod: $(cat said.txt)"
}

# As modprobe words the kernel's error, which suture passes on. With ftrace switched off, suture does not
# ask the kernel: there the kernel is asked without it.
load_failing_mod() {
  local mod=$1 reason
  shift
  step "% modprobe $mod $*"
  if is_patch $mod && [ "$(cat /proc/sys/kernel/ftrace_enabled)" = 1 ]; then
    ! load_by_suture /test/$mod.ko --parameters "$*" || die "$mod is loaded"
    told_true $mod
  else
    ! /test/insert_module /test/$mod.ko "$@" >said.txt 2>&1 || die "$mod is loaded"
  fi
  reason=$(grep -o -e 'No such device' -e 'Device or resource busy' -e 'Invalid argument' said.txt)
  log "modprobe: ERROR: could not insert '$mod': $(echo "$reason" | sed -n 1p)"
}

# suture takes the module out along with the patch.
disable_lp() {
  log "% echo 0 > $sysfs/$1/enabled"
  unload_by_suture $1 || die "unload $1: $(cat said.txt)"
  [ -z "$(suture_says $1)" ] || die "$1 is still shown"
}

# A load has removed the module of what it replaced.
unload_lp() {
  log "% rmmod $1"
  [ ! -e /sys/module/$1 ] || die "the module of $1 is still there"
}

set_pre_patch_ret() {
  log "% echo $2 > /sys/module/$1/parameters/pre_patch_ret"
  echo "$2" >/sys/module/$1/parameters/pre_patch_ret
}

start_test() {
  echo "TEST: $1"
  log "===== TEST: $1 ====="
}

# Of the log: what the core and the scripts' modules say.
its_lines() { grep -e livepatch: -e test_klp | grep -v -e taint -e suture:; }

check_result() {
  echo "$*" >expected.txt
  dmesg | sed -n '/===== TEST/h; /===== TEST/!H; ${x; p}' | sed '1d; s/^\[[ 0-9.]*\] //' |
    its_lines >result.txt
  cmp -s expected.txt result.txt || { diff -u expected.txt result.txt; die "other lines in the log"; }
}

check_sysfs_rights() {
  [ "$(ls -ld $sysfs/$1/$2 | cut -c1-10)" = "$3" ] || die "$1/$2 has not the rights $3"
}

check_sysfs_value() { [ "$(cat $sysfs/$1/$2)" = "$3" ] || die "$1/$2 is not $3"; }
