#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# completion.sh DIRECTORY: bash completes what the program has; zsh and fish take their files.
set -euo pipefail
cd "$1"
directory=$PWD
# shellcheck disable=SC1091
. ./suture.bash

# offers WORD... : what bash offers for the last of the words, one a line.
offers() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  _suture || true # where nothing is offered
  printf '%s\n' "${COMPREPLY[@]}"
}
# They read all that is offered, so that nobody writes to a closed pipe.
has() { grep -xF -e "$1" >/dev/null || { echo "not offered: $1"; exit 1; }; }
lacks() { ! grep -xF -e "$1" >/dev/null || { echo "offered: $1"; exit 1; }; }

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
offers suture help '' | has build
offers suture '' | sed -n 1p | has kernel # in the order of --help
complete -p suture | grep -q nosort
(
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  touch fix.ko
  offers suture load fi | has fix.ko
  offers suture status fi | lacks fix.ko
  offers suture list fi | lacks fix.ko
  offers suture kernel add fi | lacks fix.ko
  export XDG_CACHE_HOME=$work/cache
  mkdir -p cache/suture/kernels/6.1.0-1-amd64 cache/suture/kernels/.new
  for words in 'kernel show' 'kernel remove' 'build --kernel' 'test -k'; do
    # shellcheck disable=SC2086
    offers suture $words 6 | has 6.1.0-1-amd64
    # shellcheck disable=SC2086
    offers suture $words '' | lacks fix.ko
  done
  offers suture kernel show '' | lacks .new
  fish --no-config --command "source $directory/suture.fish; complete -C 'suture kernel show '" |
    has 6.1.0-1-amd64
)
zsh -n _suture
fish --no-execute suture.fish
