# SPDX-License-Identifier: GPL-2.0-or-later
#
# The host's part of the table of neighbours: what the guest measures is compared with the rows of
# docs/neighbours.md.

# nice_patch NUMBER: a patch of security_task_setnice() that lets one call fail.
nice_patch() {
  diff_of security/security.c "s/return call_int_hook(task_setnice, 0, p, nice);/return nice == $1 ? -ENODATA : call_int_hook(task_setnice, 0, p, nice);/"
}

# What each of them does is in neighbours.sh; those with a plus are tried where all are wanted.
list_neighbours() {
  cat <<'END_OF_LIST'
module kprobe|a kprobe at the entry
module kprobe offset=5|a kprobe further inside
module post_handler|a kprobe with a post handler
module disabled|a disabled kprobe at the entry
module disabled offset=5|a disabled kprobe further inside
module kretprobe|a kretprobe
event p|a kprobe event at the entry, as of `perf probe`
+event p +5|a kprobe event further inside
+event p +0 unused|a kprobe event that is not enabled
+event r|a kprobe event at the return
+bpf kprobe|a BPF program at a kprobe
tracer function|the function tracer, of this function
+tracer function all|the function tracer, of all functions
tracer function_graph|the function graph tracer
stack|the stack tracer
+instance|a tracer in an instance
+trigger|a trigger of the function, such as `traceoff`
+module looking|a module that looks on by ftrace
+module with_registers|a module that looks on by ftrace, with registers
bpf fentry|a BPF program of the type fentry
+bpf fexit|a BPF program of the type fexit
bpf refusal|a BPF program of the type fmod_ret that refuses calls
bpf lsm task_setnice|a BPF LSM program at a hook that the function calls
module direct|a module's direct call
module redirecting|a module that redirects calls (IPMODIFY)
patch other.ko|a patch of the other core
patch same.ko|another patch of the same core, not cumulative
ftrace_off|`sysctl kernel.ftrace_enabled=0`
END_OF_LIST
}

# rows DOCUMENT FIRST_COLUMN: "NEIGHBOUR | BEFORE | AFTER" of its table.
rows() {
  awk -F' *[|] *' -v at="$2" 'NF == 7 && !/^[|] *(neighbour|---)/ { print $2 " | " $at " | " $(at + 1) }' "$1"
}

# neighbours_are_as_told CORE OTHER COLUMN: the table's columns of that core begin with that one.
neighbours_are_as_told() {
  local core=$1 other=$2 document=$script_directory/../../docs/neighbours.md
  rows "$document" "$3" >documented
  list_neighbours | sed 's/.*|//' | diff <(sed 's/ | .*//' documented) - ||
    { echo "the document lists other neighbours than are tried"; exit 1; }
  nice_patch 7 >nice.patch
  nice_patch 8 >other.patch
  "$suture" build --for "$core" --no-replace -n nice nice.patch
  "$suture" build --for "$core" --no-replace -n same other.patch
  "$suture" build --for "$other" --no-replace -n other other.patch
  make_core core
  cp core/{suture,neighbour}.ko core/{words,neighbours}.sh .
  export SUTURE_GUEST_CORE=$PWD/suture.ko
  if [ "${SUTURE_NEIGHBOURS:-some}" = all ]; then
    list_neighbours | sed 's/^+//' >neighbours
  else
    list_neighbours | grep -v '^+' >neighbours
  fi
  in_guest neighbours.sh neighbours nice.ko same.ko other.ko neighbour.ko words.sh "$attach_bpf" |
    tee said
  sed '0,/^COLUMNS/d' said >measured
  [ "$(wc -l <measured)" = "$(wc -l <neighbours)" ]
  ! grep -vFxf documented measured || { echo "the document says otherwise"; exit 1; }
}
