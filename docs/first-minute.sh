# What docs/record-first-minute records; tests/vm/run runs it. Its own words:
# typed COMMAND...: runs it on the build host, and records it with what it prints.
typed() {
  echo "build-host\$ $*" >>"$SUTURE_RECORDED"
  PATH=$(dirname "$suture"):$PATH "$@" >>"$SUTURE_RECORDED" 2>&1
}
cp "$(dirname "$script")/../examples/visible.patch" fix.patch
typed suture build -k "$release" -n fix_1 fix.patch
typed suture test fix_1.ko
cat >machine <<'END'
#!/bin/sh
typed() { echo "machine# $*"; "$@" 2>&1; }
cd /test
typed suture load fix_1.ko
typed cat /proc/cmdline
typed suture status
suture unload fix_1 >/dev/null 2>&1
END
in_guest machine fix_1.ko >said.txt
# The guest's own parameters are of no interest.
sed 's/^console=.* -- *[^ ]* *\(suture=live\)/… \1/' said.txt >>"$SUTURE_RECORDED"
