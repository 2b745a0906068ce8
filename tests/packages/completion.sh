#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# completion.sh DIRECTORY: bash completes what the program has; zsh and fish take their files.
set -euo pipefail
cd "$1"
# shellcheck disable=SC1091
. ./suture.bash

# offers WORD... : what bash offers for the last of the words, one a line.
offers() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  _suture
  printf '%s\n' "${COMPREPLY[@]}"
}
has() { grep -qxF -e "$1" || { echo "not offered: $1"; exit 1; }; }
lacks() { ! grep -qxF -e "$1" || { echo "offered: $1"; exit 1; }; }

offers suture '' | has build
offers suture bu | has build
offers suture '' | lacks man
offers suture kernel '' | has add
offers suture kernel ad | lacks list
offers suture build --ker | has --kernel
offers suture kernel add -- | lacks --onto
offers suture --json load --mod | has --model
offers suture load --model '' | has hybrid
offers suture build --for '' | has livepatch
(
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  touch fix.ko
  offers suture load fi | has fix.ko
  offers suture build --kernel fi | has fix.ko
)
zsh -n _suture
fish --no-execute suture.fish
