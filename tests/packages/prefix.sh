#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# prefix.sh BUILD_DIRECTORY: units that are installed under any prefix start the program of that
# prefix, and the manual and the completions come along.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for prefix in "$work/a" "$work/b"; do
  cmake --install "$1" --prefix "$prefix" >/dev/null
  for unit in suture suture-guard suture-confirm; do
    program=$(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\) .*/\1/p' "$prefix/lib/systemd/system/$unit.service")
    [ "$program" = "$prefix/bin/suture" ] || { echo "$unit starts $program"; exit 1; }
    [ -x "$program" ]
  done
  [ -s "$prefix/share/man/man1/suture-build.1" ]
  [ -s "$prefix/share/bash-completion/completions/suture" ]
  [ -s "$prefix/share/zsh/vendor-completions/_suture" ]
  [ -s "$prefix/share/fish/vendor_completions.d/suture.fish" ]
done
