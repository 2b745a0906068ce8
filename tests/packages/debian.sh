#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# debian.sh SOURCE_DIRECTORY: the packages are built from what git has of it, lintian finds nothing
# wrong, and a Debian root takes them, takes them again as an upgrade, and is the same as before once
# they are purged.
set -euo pipefail
source=$1
[ "$(id -u)" -eq 0 ] || { echo "only root can make a Debian root"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/suture"
git -C "$source" archive HEAD | tar -C "$work/suture" -x
cd "$work/suture"
dpkg-buildpackage --build=binary --no-sign >"$work/build.txt" 2>&1 ||
  { tail -n 40 "$work/build.txt"; exit 1; }
cd "$work"
lintian --fail-on error,warning --allow-root ./*.changes
version=$(dpkg-parsechangelog -l suture/debian/changelog -S Version)
live=suture-live_${version}_amd64.deb
building=suture_${version}_amd64.deb

# The same packages under a later version, for the upgrade.
mkdir later
dpkg-deb -R "$live" later
sed -i "s/^Version: .*/Version: $version+later/" later/DEBIAN/control
dpkg-deb --root-owner-group -b later later.deb >/dev/null

mmdebstrap --quiet --variant=minbase --include=systemd,kmod bookworm root.tar
mkdir root
tar -C root --numeric-owner -xf root.tar
mkdir root/debs
cp "$live" root/debs/first.deb
cp later.deb root/debs/later.deb
cp "$building" root/debs/building.deb
in_root() { chroot root /usr/bin/env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
cp /etc/resolv.conf root/etc/resolv.conf
# The libraries come from the archive and stay; what is judged is the package itself.
in_root apt-get -q update >/dev/null
needs=$(dpkg-deb -f "$live" Depends | tr ',' '\n' | sed 's/(.*//; s/|.*//; s/ //g')
# The archive has what the other one needs, which is large: the compiler and QEMU.
in_root apt-get -q --simulate install /debs/first.deb /debs/building.deb | grep '^Inst suture '
# shellcheck disable=SC2086
in_root apt-get -q install --yes --no-install-recommends $needs >/dev/null
files() { (cd root && find . -xdev \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache \
  -o -path ./debs \) -prune -o -print | sort); }
files >before
in_root dpkg -i /debs/first.deb
in_root suture --version | grep -F "${version%%-*}"
in_root test -x "$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' root/usr/lib/systemd/system/suture.service)"
mkdir -p root/var/lib/suture/6.1.0-1-amd64
in_root systemctl --quiet enable suture.service
in_root dpkg -i /debs/later.deb
in_root dpkg-query -W -f '${Version}\n' suture-live | grep -Fx "$version+later"
[ -d root/var/lib/suture/6.1.0-1-amd64 ] || { echo "an upgrade lost the installed patches"; exit 1; }
in_root dpkg --force-depends -i /debs/building.deb
in_root dpkg --purge suture suture-live
files >after
diff before after
