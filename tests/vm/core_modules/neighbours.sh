#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What becomes of a patch and of somebody else at the same function, in both orders, and whether
# `check`, `load` and `status` say so (docs/neighbours.md). The patch lets `renice 7` fail with a
# message of its own; one more patch of the function does so with `renice 8`.
cd /test
. ./words.sh
F=security_task_setnice
T=/sys/kernel/tracing

says() { renice "$1" $$ 2>&1 | grep -q 'No data'; }
new_code() { says 7; }

# there KIND WORD...: the neighbour comes; false where the kernel refuses it.
there() {
  case $1 in
  module)
    shift
    insmod neighbour.ko on=$F kind="$1" ${2:-}
    ;;
  event)
    echo "$2:mine $F$3" >$T/kprobe_events || return 1
    [ "${4:-}" = unused ] || echo 1 >$T/events/kprobes/mine/enable
    ;;
  bpf)
    : >/tmp/bpf
    ./attach_bpf $2 ${3:-$F} >>/tmp/bpf 2>&1 &
    bpf=$!
    until grep -q attached /tmp/bpf; do
      [ -e /proc/$bpf ] || { cat /tmp/bpf >&2; return 1; }
      usleep 50000
    done
    ;;
  tracer)
    [ "${3:-}" = all ] || echo $F >$T/set_ftrace_filter
    echo $2 >$T/current_tracer
    ;;
  stack)
    echo $F >$T/stack_trace_filter
    echo 1 >/proc/sys/kernel/stack_tracer_enabled
    ;;
  instance)
    mkdir $T/instances/mine
    echo $F >$T/instances/mine/set_ftrace_filter
    echo function >$T/instances/mine/current_tracer
    ;;
  trigger) echo $F:traceoff >$T/set_ftrace_filter ;;
  patch) suture load $2 >/dev/null ;;
  ftrace_off) (echo 0 >/proc/sys/kernel/ftrace_enabled) ;;
  esac
}

gone() {
  case $1 in
  module) rmmod neighbour ;;
  event)
    echo 0 >$T/events/kprobes/mine/enable
    echo >$T/kprobe_events
    ;;
  bpf)
    kill $bpf
    wait $bpf 2>/dev/null
    # Its trampoline goes a little later.
    usleep 300000
    ;;
  tracer)
    echo nop >$T/current_tracer
    echo >$T/set_ftrace_filter
    ;;
  stack)
    echo 0 >/proc/sys/kernel/stack_tracer_enabled
    echo >$T/stack_trace_filter
    ;;
  instance) rmdir $T/instances/mine ;;
  trigger)
    echo "!$F:traceoff" >$T/set_ftrace_filter
    echo 1 >$T/tracing_on
    ;;
  patch) suture unload $(basename $2 .ko) >/dev/null ;;
  ftrace_off) echo 1 >/proc/sys/kernel/ftrace_enabled ;;
  esac
}

# traced DIRECTORY: whether the function is seen in that trace of one call.
traced() {
  echo >$1/trace
  echo 1 >$1/tracing_on
  sh -c "echo \$\$ >$1/set_ftrace_pid; exec renice 1 \$\$"
  echo 0 >$1/tracing_on
  echo >$1/set_ftrace_pid
  grep -q $F $1/trace
}

# counted COMMAND...: whether what the command says grows by a call.
counted() {
  local before=$("$@")
  renice 1 $$
  [ "$("$@")" -gt "$before" ]
}
runs_of_bpf() { cat /proc/$bpf/fdinfo/* | sed -n 's/^run_cnt:[^0-9]*//p'; }
hits_of_event() { sed -n 's/^ *mine *\([0-9]*\) .*/\1/p' $T/kprobe_profile; }

# sees KIND WORD...: whether the neighbour sees a call, or does what it does otherwise.
sees() {
  case $1 in
  module) counted cat /sys/module/neighbour/parameters/seen ;;
  event) counted hits_of_event ;;
  bpf)
    if [ $2 = refusal ]; then ! renice 1 $$ 2>/dev/null; else counted runs_of_bpf; fi
    ;;
  tracer) traced $T ;;
  instance) traced $T/instances/mine ;;
  stack)
    echo 0 >$T/stack_max_size
    renice 1 $$
    [ "$(cat $T/stack_max_size)" -gt 0 ]
    ;;
  trigger)
    echo 1 >$T/tracing_on
    renice 1 $$
    [ "$(cat $T/tracing_on)" = 0 ]
    ;;
  patch) says 8 ;;
  ftrace_off) [ "$(cat /proc/sys/kernel/ftrace_enabled)" = 0 ] ;;
  esac
}

# outcome KIND WORD...: of a patch that is loaded and a neighbour that is there, which saw calls
# before where $saw is yes.
outcome() {
  local new=no now=no
  ! new_code || new=yes
  ! sees "$@" || now=yes
  case $new,$saw,$now in
  yes,yes,yes | yes,no,no) became="both work" ;;
  yes,yes,no) became="neighbour stops" ;;
  no,*,*) became="patch without effect" ;;
  *) die "$*: new code $new, calls seen $saw before and $now now" ;;
  esac
}

# What `status` says has to be what became of them; KIND WORD...
told() {
  suture status --json >/tmp/status
  case $became in
  "both work") effect=beside ;;
  "neighbour stops") effect=silenced ;;
  "patch without effect") effect=wins ;;
  esac
  case "$1 ${2:-}" in
  "bpf lsm") effect= ;;  # it is not at this function
  "patch same.ko") effect=wins ;;  # the later one of two
  esac
  effects=$(sed -n 's/.*"effect": "\(.*\)".*/\1/p' /tmp/status | sort -u | tr '\n' ' ')
  [ "$effects" = "${effect:+$effect }" ] || wrong "$*: $became, but status says: $effects" /tmp/status
}

wrong() {
  echo "WRONG: $1"
  cat $2
  bad=1
}

# What `check` says beforehand; KIND WORD...
foretold() {
  verdicts=$(sed -n 's/.*"verdict": "\(.*\)".*/\1/p' /tmp/check | sort -u | tr '\n' ' ')
  case $became,$verdicts in
  "patch refused,"*failed*) ;;
  "neighbour stops,"*failed* | "patch without effect,"*failed*) wrong "$*: $became, but check fails" /tmp/check ;;
  "neighbour stops,"*warning* | "patch without effect,"*warning*) ;;
  "both work,"*failed* | "both work,"*warning*) wrong "$*: $became, but check warns" /tmp/check ;;
  "both work,"*) ;;
  *) wrong "$*: $became, but check says: $verdicts" /tmp/check ;;
  esac
  case "$1 ${2:-}" in
  "bpf lsm" | "ftrace_off ") grep -q "nothing else is at these functions" /tmp/check || wrong "$*" /tmp/check ;;
  *) ! grep -q "nothing else is at these functions" /tmp/check || wrong "$*: unseen" /tmp/check ;;
  esac
}

neighbour_first() {
  there "$@" || die "the kernel refuses: $*"
  saw=no
  ! sees "$@" || saw=yes
  suture check nice.ko --json >/tmp/check 2>/tmp/errors
  if suture load --replace nice.ko --json >/tmp/load 2>/tmp/errors; then
    outcome "$@"
    told "$@"
    case $became in
    "both work") ;;
    *) ! grep -q '"warnings": \[\]' /tmp/load || wrong "$*: $became, but load does not warn" /tmp/load ;;
    esac
    suture unload nice >/dev/null || die "it does not go: $*"
  else
    became="patch refused"
    ! new_code || die "half a patch: $*"
    [ ! -e /sys/module/nice ] || die "the module of a refused patch stays"
    grep -q '"code": "busy"' /tmp/load || grep -q '"code": "ftrace-off"' /tmp/load || die "refused, but why? $(cat /tmp/load)"
  fi
  foretold "$@"
  gone "$@"
}

is_settled() { [ ! -e $S/nice/settled ] || [ "$(cat $S/nice/settled)" = 1 ]; }

patch_first() {
  if there "$@" 2>/tmp/refusal; then
    saw=yes
    case "$*" in *disabled* | *unused*) saw=no ;; esac
    outcome "$@"
    told "$@"
    gone "$@"
  else
    became="neighbour refused"
    grep -q -i busy /tmp/refusal || die "$*: $(cat /tmp/refusal)"
  fi
  new_code || die "the patch has gone: $*"
}

# Lines of neighbours: the words of there(), and what the document calls it.
bad=0
sysctl -q kernel.bpf_stats_enabled=1
while IFS='|' read -r words name; do
  neighbour_first $words
  echo "$became" >>/tmp/first
done <neighbours
suture load nice.ko >/tmp/load || die "$(cat /tmp/load)"
until_true is_settled
while IFS='|' read -r words name; do
  patch_first $words
  echo "$name | $became" >>/tmp/second
done <neighbours
suture unload nice >/dev/null || die "it does not go"
echo "COLUMNS"
paste -d'|' /tmp/first /tmp/second | sed 's/\(.*\)|\(.*\) | \(.*\)/\2 | \1 | \3/'
[ $bad = 0 ]
