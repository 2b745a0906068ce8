# SPDX-License-Identifier: GPL-2.0-or-later
#
# What ../redirect runs, in the words of tests/vm/run.
root=$(dirname "$script")/../..
on_kernel $SUTURE_BENCH_RELEASE
mkdir core modules bin
cp -r "$root"/kmod/core/. "$root"/kmod/include/suture_patch.h core
make_modules core
cp "$root"/bench/redirect_modules/*.c "$root"/tests/vm/core_modules/klp_on_suture.h \
  core/suture_patch.h modules
mv modules/called_patch.c modules/by_livepatch.c
cp modules/by_livepatch.c modules/by_core.c
cat >modules/Kbuild <<'END'
obj-m := called.o by_livepatch.o by_core.o
ccflags-y := -g0
CFLAGS_by_core.o := -DRUNNING_BUILD_ID='"$(BUILD_ID)"' -include $(src)/klp_on_suture.h
END
make_modules modules BUILD_ID=$build_id KBUILD_EXTRA_SYMBOLS="$PWD/core/Module.symvers"
# The runner's own arguments stay as they are.
printf '#!/bin/sh\nexec %s "$@" -icount shift=0,sleep=off\n' "$(command -v qemu-system-x86_64)" \
  >bin/qemu-system-x86_64
chmod +x bin/qemu-system-x86_64
cat >count <<'END'
#!/bin/sh
cd /test
die() { echo "$1"; exit 1; }
until_true() {
  local tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || die "it never came true: $*"
    usleep 100000
  done
}
reads() { [ "$(cat $1)" = $2 ]; }
first=
# row WHAT: a line of the table.
row() {
  local count=$(cat /proc/called)
  [ -n "$count" ] || die "nothing counted"
  first=${first:-$count}
  printf '%-45s %12d %8d\n' "$1" $count $((count - first))
}
# patched CORE MODULE WHAT [PARAMETER...]: in transition for as long as somebody is held, then after it.
patched() {
  local core=$1 module=$2 what=$3 holder
  shift 3
  cat /proc/held &
  holder=$!
  usleep 300000
  insmod $module.ko "$@" || die "$module is refused"
  usleep 300000
  reads /sys/kernel/$core/$module/transition 1 || die "no transition"
  row "$what, in transition"
  kill $holder
  wait $holder 2>/dev/null
  until_true reads /sys/kernel/$core/$module/transition 0
}
removed() { rmmod $1 2>/dev/null; }
gone() {
  echo 0 >/sys/kernel/$1/$2/enabled
  until_true removed $2
}
insmod called.ko && insmod suture.ko || die "no modules"
printf '%-45s %12s %8s\n' "A CALL OF A FUNCTION" INSTRUCTIONS MORE
row "not patched"
patched livepatch by_livepatch "by the kernel's livepatch"
row "by the kernel's livepatch"
gone livepatch by_livepatch
patched suture by_core "by Suture's core" direct=0
usleep 500000
reads /sys/kernel/suture/by_core/settled 0 || die "settled"
row "by Suture's core, hooked"
gone suture by_core
insmod by_core.ko || die "by_core is refused"
until_true reads /sys/kernel/suture/by_core/settled 1
row "by Suture's core, settled"
gone suture by_core
row "not patched any more"
END
PATH=$PWD/bin:$PATH in_guest count core/suture.ko modules/*.ko
